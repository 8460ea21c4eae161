// SPDX-License-Identifier: Apache-2.0
#include "runtime/supervisor/shim_command.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/bootstrap/v1/bootstrap.pb.h"

namespace ctrd::runtime {
namespace {

// An encoded google.protobuf.Any, or nothing.
std::string BareOptions(const base::Any& options) {
  return base::WireWriter().Bytes(1, options.type_url).Bytes(2, options.value).Take();
}

constexpr size_t kOutputLimitBytes = 1 << 20;
constexpr int kMostDeletes = 10;  // Of one shim, all but the last killed.

// What a finished child wrote, its two outputs apart: warnings must not end up in the answer.
struct SeparateOutput {
  int exit_code = 0;
  std::string answer;
  std::string errors;
};

absl::StatusOr<base::UniqueFd> MemoryFile(std::string_view content) {
  base::UniqueFd fd(::memfd_create("shim-command", MFD_CLOEXEC));
  if (!fd.valid()) return base::ErrnoStatus("memfd_create", "shim-command");
  RETURN_IF_ERROR(base::WriteAll(fd.get(), content, "shim-command"));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return base::ErrnoStatus("lseek", "shim-command");
  return fd;
}

absl::StatusOr<std::string> ReadBack(const base::UniqueFd& fd) {
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return base::ErrnoStatus("lseek", "shim-command");
  return base::ReadAll(fd.get(), "output of a shim", kOutputLimitBytes);
}

absl::StatusOr<SeparateOutput> RunSeparately(base::SpawnOptions spawn, std::string_view input,
                                             absl::Time deadline) {
  ASSIGN_OR_RETURN(const base::UniqueFd in, MemoryFile(input));
  ASSIGN_OR_RETURN(const base::UniqueFd out, MemoryFile(""));
  ASSIGN_OR_RETURN(const base::UniqueFd err, MemoryFile(""));
  spawn.descriptors = {{in.get(), 0}, {out.get(), 1}, {err.get(), 2}};
  spawn.new_process_group = true;
  ASSIGN_OR_RETURN(const base::Child child, base::Spawn(spawn));
  auto code = base::WaitFor(child, deadline);
  if (!code.ok()) {
    (void)::kill(-child.pid, SIGKILL);  // The group is still its own: it was not reaped.
    (void)base::WaitFor(child, absl::InfiniteFuture());
    return code.status();
  }
  SeparateOutput output{.exit_code = *code};
  ASSIGN_OR_RETURN(output.answer, ReadBack(out));
  ASSIGN_OR_RETURN(output.errors, ReadBack(err));
  return output;
}

bool WasKilled(int exit_code) { return exit_code == 128 + SIGKILL; }

absl::StatusOr<ShimEndpoint> AnswerOf(const base::RunResult& start) {
  if (start.exit_code == 0) return DecodeStartAnswer(start.output);
  return base::Unknown("start failed: {}: exit status {}", start.output, start.exit_code);
}

bool Debugging() { return base::CurrentLogLevel() <= base::LogLevel::kDebug; }

containerd::runtime::bootstrap::v1::LogLevel BootstrapLogLevel() {
  namespace v1 = containerd::runtime::bootstrap::v1;
  switch (base::CurrentLogLevel()) {
    case base::LogLevel::kTrace:
      return v1::LOG_LEVEL_TRACE;
    case base::LogLevel::kDebug:
      return v1::LOG_LEVEL_DEBUG;
    case base::LogLevel::kWarn:
      return v1::LOG_LEVEL_WARN;
    case base::LogLevel::kError:
      return v1::LOG_LEVEL_ERROR;
    default:
      return v1::LOG_LEVEL_INFO;
  }
}

}  // namespace

std::vector<std::string> ShimCommands::Flags(const std::string& binary,
                                             const Bundle& bundle) const {
  return {binary,
          "-namespace",
          bundle.namespace_name,
          "-address",
          options_.grpc_address,
          "-publish-binary",
          options_.daemon_binary,
          "-id",
          bundle.id};
}

std::vector<std::string> ShimCommands::Environment(const Bundle& bundle) const {
  std::vector<std::string> environment = base::CurrentEnvironment();
  environment.push_back("GOMAXPROCS=2");
  environment.push_back("TTRPC_ADDRESS=" + options_.ttrpc_address);
  environment.push_back("MAX_SHIM_VERSION=2");
  environment.push_back("GRPC_ADDRESS=" + options_.grpc_address);
  environment.push_back("NAMESPACE=" + bundle.namespace_name);
  return environment;
}

std::string ShimCommands::BootstrapParams(const Bundle& bundle,
                                          const base::Any& task_options) const {
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  params.set_instance_id(bundle.id);
  params.set_namespace_(bundle.namespace_name);
  params.set_log_level(BootstrapLogLevel());
  params.set_containerd_version(options_.daemon_version);
  params.set_containerd_ttrpc_address(options_.ttrpc_address);
  params.set_containerd_grpc_address(options_.grpc_address);
  params.set_containerd_binary(options_.daemon_binary);
  if (!task_options.empty()) {
    auto* value = params.add_extensions()->mutable_value();
    value->set_type_url(task_options.type_url);
    value->set_value(task_options.value);
  }
  if (!options_.socket_dir.empty()) params.set_socket_dir(options_.socket_dir);
  return params.SerializeAsString();
}

absl::StatusOr<base::RunResult> ShimCommands::RunStart(const std::string& binary,
                                                       const Bundle& bundle,
                                                       const std::string& input,
                                                       absl::Time deadline) const {
  base::SpawnOptions spawn;
  spawn.argv = Flags(binary, bundle);
  if (Debugging()) spawn.argv.push_back("-debug");
  spawn.argv.push_back("start");
  spawn.environment = Environment(bundle);
  spawn.environment.insert(spawn.environment.end(), options_.extra_environment.begin(),
                           options_.extra_environment.end());
  spawn.working_directory = bundle.path;
  spawn.new_process_group = true;
  spawn.parent_death_signal = SIGKILL;
  auto result = base::Run(std::move(spawn), input, deadline);
  if (result.ok()) return result;
  return base::WithCode(base::Annotate(result.status(), "start failed"),
                        absl::IsDeadlineExceeded(result.status())
                            ? absl::StatusCode::kDeadlineExceeded
                            : absl::StatusCode::kUnknown);
}

ShimCommands::StdinForm ShimCommands::FormFor(const std::string& binary) {
  const std::string_view name = std::string_view(binary).substr(binary.rfind('/') + 1);
  if (name.find("shim-runc-v1") != name.npos || name.find("shim-runhcs-v1") != name.npos) {
    return StdinForm::kBareOptions;
  }
  const std::scoped_lock lock(mutex_);
  return forms_[binary];
}

void ShimCommands::Remember(const std::string& binary, StdinForm form) {
  const std::scoped_lock lock(mutex_);
  forms_[binary] = form;
}

absl::StatusOr<ShimEndpoint> ShimCommands::Start(const std::string& binary, const Bundle& bundle,
                                                 const base::Any& task_options,
                                                 absl::Time deadline) {
  const StdinForm form = FormFor(binary);
  if (form == StdinForm::kBareOptions) {
    ASSIGN_OR_RETURN(const base::RunResult result,
                     RunStart(binary, bundle, BareOptions(task_options), deadline));
    return AnswerOf(result);
  }
  ASSIGN_OR_RETURN(const base::RunResult result,
                   RunStart(binary, bundle, BootstrapParams(bundle, task_options), deadline));
  if (result.exit_code == 0 && form == StdinForm::kUnknown) {
    Remember(binary, StdinForm::kBootstrapParams);
  }
  // Who was killed has not said that it knows no such input.
  if (result.exit_code == 0 || form != StdinForm::kUnknown || WasKilled(result.exit_code)) {
    return AnswerOf(result);
  }
  // Shims of the 1.6 generation decode all of standard input as the options, and give up.
  const auto second = RunStart(binary, bundle, BareOptions(task_options), deadline);
  if (second.ok() && second->exit_code == 0) {
    Remember(binary, StdinForm::kBareOptions);
    return AnswerOf(*second);
  }
  if (result.output.find("type with url") == std::string::npos) return AnswerOf(result);
  return second.ok() ? AnswerOf(*second) : second.status();
}

absl::StatusOr<Exit> ShimCommands::Delete(const std::string& binary, const Bundle& bundle,
                                          absl::Time deadline) {
  base::SpawnOptions spawn;
  spawn.argv = Flags(binary, bundle);
  spawn.argv.insert(spawn.argv.end(), {"-bundle", bundle.path});
  if (Debugging()) spawn.argv.push_back("-debug");
  spawn.argv.push_back("delete");
  spawn.environment = Environment(bundle);
  spawn.working_directory = bundle.path;
  spawn.parent_death_signal = SIGKILL;
  ASSIGN_OR_RETURN(SeparateOutput output, RunSeparately(spawn, "", deadline));
  // Somebody killed it amid its work, for want of memory say: nobody else would finish that.
  for (int runs = 1; WasKilled(output.exit_code) && runs < kMostDeletes; ++runs) {
    ASSIGN_OR_RETURN(output, RunSeparately(spawn, "", deadline));
  }
  if (!output.errors.empty()) {
    base::LogWarn(
        "warnings while cleaning up dead shim",
        {{"id", bundle.id}, {"namespace", bundle.namespace_name}, {"stderr", output.errors}});
  }
  if (output.exit_code != 0) {
    return base::Unknown("{}: exit status {}", output.errors, output.exit_code);
  }
  Exit exit{.pid = 0, .status = 0, .at = absl::Now()};
  base::WireReader reader(output.answer);
  while (auto field = reader.Next()) {
    if (field->number == 1) exit.pid = static_cast<uint32_t>(field->varint);
    if (field->number == 2) exit.status = static_cast<uint32_t>(field->varint);
    if (field->number == 3) exit.at = base::ReadWireTime(field->bytes);
  }
  if (!reader.ok()) return base::Unknown("answer of shim delete is malformed");
  return exit;
}

absl::StatusOr<std::string> ShimCommands::Info(const std::string& binary,
                                               const base::Any& task_options, absl::Time deadline) {
  base::SpawnOptions spawn;
  spawn.argv = {binary, "-info"};
  spawn.environment = base::CurrentEnvironment();
  ASSIGN_OR_RETURN(SeparateOutput output,
                   RunSeparately(std::move(spawn), BareOptions(task_options), deadline));
  if (output.exit_code != 0) {
    return base::Unknown("failed to run [{} -info]: exit status {} (stderr: {})", binary,
                         output.exit_code, output.errors);
  }
  return std::move(output.answer);
}

}  // namespace ctrd::runtime
