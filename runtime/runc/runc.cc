// SPDX-License-Identifier: Apache-2.0
#include "runtime/runc/runc.h"

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "runtime/runc/runtime_log.h"

namespace ctrd::runtime::runc {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// What went wrong, before anything the log says; OK if nothing did.
absl::Status BaseError(const Program& program, const absl::StatusOr<InvocationResult>& result) {
  if (!result.ok()) return absl::UnknownError(result.status().message());
  if (result->exit_code == 0) return absl::OkStatus();
  std::string text = fmt::format("{} did not terminate successfully: exit status {}",
                                 program.binary, result->exit_code);
  if (!result->output.empty()) text += ": " + result->output;
  return absl::UnknownError(base::ToAbsl(text));
}

absl::Status LoggedError(const Program& program, int64_t log_offset, std::string_view prefix,
                         const absl::StatusOr<InvocationResult>& result) {
  const absl::Status error = BaseError(program, result);
  if (error.ok()) return error;
  const absl::StatusOr<std::string> message = LastError(program.log_path, log_offset);
  if (!message.ok()) {
    return base::Unknown("{}: unable to retrieve OCI runtime error ({}): {}", prefix,
                         base::MessageOf(message.status()), base::MessageOf(error));
  }
  return base::Unknown("{}: {}", prefix, message->empty() ? base::MessageOf(error) : *message);
}

absl::Status KillError(const absl::Status& error) {
  if (error.ok()) return error;
  const std::string text = Lower(base::MessageOf(error));
  for (const char* finished :
       {"os: process already finished", "container not running", "no such process"}) {
    if (text.find(finished) != std::string::npos) {
      return base::NotFound("process already finished");
    }
  }
  if (text.find("does not exist") != std::string::npos) return base::NotFound("no such container");
  return base::Annotate(error, "unknown error after kill");
}

void AppendCreateFlags(const CreateOptions& options, std::vector<std::string>& arguments) {
  if (!options.console_socket.empty()) {
    arguments.insert(arguments.end(), {"--console-socket", options.console_socket});
  }
  if (options.no_pivot) arguments.push_back("--no-pivot");
}

}  // namespace

std::vector<std::string> GlobalArguments(const Program& program) {
  std::vector<std::string> arguments = {program.binary, "--root",         program.StateDirectory(),
                                        "--log",        program.log_path, "--log-format",
                                        "json"};
  if (program.systemd_cgroup) arguments.push_back("--systemd-cgroup");
  return arguments;
}

std::vector<std::string> DeleteArguments(const Program& program, std::string_view id, bool force) {
  std::vector<std::string> arguments = GlobalArguments(program);
  arguments.push_back("delete");
  if (force) arguments.push_back("--force");
  arguments.emplace_back(id);
  return arguments;
}

std::vector<std::string> Runc::Arguments(std::vector<std::string> verb) const {
  std::vector<std::string> arguments = GlobalArguments(program_);
  arguments.insert(arguments.end(), verb.begin(), verb.end());
  return arguments;
}

void Runc::RunLogged(std::string prefix, std::vector<std::string> arguments, const Stdio& stdio,
                     Done done) {
  const int64_t offset = LogSize(program_.log_path);
  latest_ = Invoke(loop_, reaper_, {.arguments = std::move(arguments), .stdio = stdio},
                   [program = program_, offset, prefix = std::move(prefix),
                    done = std::move(done)](absl::StatusOr<InvocationResult> result) {
                     done(LoggedError(program, offset, prefix, result));
                   });
}

void Runc::RunPlain(std::vector<std::string> arguments, std::string input, Done done) {
  latest_ =
      Invoke(loop_, reaper_, {.arguments = std::move(arguments), .input = std::move(input)},
             [program = program_, done = std::move(done)](absl::StatusOr<InvocationResult> result) {
               done(BaseError(program, result));
             });
}

void Runc::Create(std::string_view id, const CreateOptions& options, const Stdio& stdio,
                  Done done) {
  std::vector<std::string> arguments =
      Arguments({"create", "--bundle", options.bundle, "--pid-file", options.pid_file});
  AppendCreateFlags(options, arguments);
  if (options.no_new_keyring) arguments.push_back("--no-new-keyring");
  arguments.emplace_back(id);
  RunLogged("OCI runtime create failed", std::move(arguments), stdio, std::move(done));
}

void Runc::Restore(std::string_view id, const RestoreOptions& options, const Stdio& stdio,
                   Done done) {
  std::vector<std::string> arguments =
      Arguments({"restore", "--image-path", options.image_path, "--work-path", options.work_path});
  if (!options.parent_path.empty()) {
    arguments.insert(arguments.end(), {"--parent-path", options.parent_path});
  }
  arguments.insert(arguments.end(), {"--detach", "--pid-file", options.create.pid_file});
  AppendCreateFlags(options.create, arguments);
  arguments.insert(arguments.end(), {"-no-subreaper", "--bundle", options.create.bundle});
  arguments.emplace_back(id);
  RunLogged("OCI runtime restore failed", std::move(arguments), stdio, std::move(done));
}

void Runc::Start(std::string_view id, Done done) {
  RunLogged("OCI runtime start failed", Arguments({"start", std::string(id)}), {}, std::move(done));
}

void Runc::Exec(std::string_view id, const ExecOptions& options, const Stdio& stdio, Done done) {
  std::vector<std::string> arguments = Arguments({"exec", "--process", options.process_file});
  if (!options.console_socket.empty()) {
    arguments.insert(arguments.end(), {"--console-socket", options.console_socket});
  }
  arguments.insert(arguments.end(), {"--detach", "--pid-file", options.pid_file, std::string(id)});
  RunLogged("OCI runtime exec failed", std::move(arguments), stdio, std::move(done));
}

void Runc::Kill(std::string_view id, uint32_t signal, bool all, Done done) {
  std::vector<std::string> arguments = Arguments({"kill"});
  if (all) arguments.push_back("--all");
  arguments.insert(arguments.end(), {std::string(id), std::to_string(signal)});
  RunPlain(std::move(arguments), "",
           [done = std::move(done)](absl::Status status) { done(KillError(status)); });
}

void Runc::KillAll(std::string_view id, Done done) {
  RunLogged("OCI runtime killall failed", Arguments({"kill", "--all", std::string(id), "9"}), {},
            std::move(done));
}

void Runc::Delete(std::string_view id, Done done) {
  RunLogged("failed to delete task", DeleteArguments(program_, id, /*force=*/false), {},
            [done = std::move(done)](absl::Status status) {
              const bool gone = base::MessageOf(status).find("does not exist") != std::string::npos;
              done(gone ? absl::OkStatus() : status);
            });
}

void Runc::DeleteByForce(std::string_view id, Done done) {
  RunLogged("failed to delete task", DeleteArguments(program_, id, /*force=*/true), {},
            std::move(done));
}

bool Runc::HasStateOf(std::string_view id) const {
  return base::Exists(fmt::format("{}/{}", program_.StateDirectory(), id));
}

void Runc::Abort() { latest_.Kill(); }

std::string Runc::Running() const {
  if (!latest_.running()) return "";
  return fmt::format("{} for {}", latest_.name(), absl::FormatDuration(latest_.age()));
}

void Runc::Pause(std::string_view id, Done done) {
  RunLogged("OCI runtime pause failed", Arguments({"pause", std::string(id)}), {}, std::move(done));
}

void Runc::Resume(std::string_view id, Done done) {
  RunLogged("OCI runtime resume failed", Arguments({"resume", std::string(id)}), {},
            std::move(done));
}

void Runc::Update(std::string_view id, const std::string& resources_json, Done done) {
  RunPlain(Arguments({"update", "--resources=-", std::string(id)}), resources_json,
           std::move(done));
}

void Runc::Checkpoint(std::string_view id, const CheckpointOptions& options, Done done) {
  std::vector<std::string> arguments = Arguments(
      {"checkpoint", "--image-path", options.image_path, "--work-path", options.work_path});
  if (options.open_tcp) arguments.push_back("--tcp-established");
  if (options.external_unix_sockets) arguments.push_back("--ext-unix-sk");
  if (options.terminal) arguments.push_back("--shell-job");
  if (options.file_locks) arguments.push_back("--file-locks");
  for (const std::string& name : options.empty_namespaces) {
    arguments.insert(arguments.end(), {"--empty-ns", name});
  }
  if (!options.exit) arguments.push_back("--leave-running");
  arguments.emplace_back(id);
  RunPlain(std::move(arguments), "", std::move(done));
}

void Runc::Ps(std::string_view id, std::function<void(absl::StatusOr<std::vector<pid_t>>)> done) {
  Invoke(loop_, reaper_, {.arguments = Arguments({"ps", "--format", "json", std::string(id)})},
         [program = program_, done = std::move(done)](absl::StatusOr<InvocationResult> result) {
           if (const absl::Status error = BaseError(program, result); !error.ok()) {
             return done(error);
           }
           const auto list = nlohmann::json::parse(result->output, nullptr, false);
           std::vector<pid_t> pids;
           if (list.is_array()) {
             for (const auto& pid : list) {
               if (pid.is_number_integer()) pids.push_back(pid.get<pid_t>());
             }
           } else if (!list.is_null()) {
             return done(base::Unknown("{} ps: output is not a list", program.binary));
           }
           done(std::move(pids));
         });
}

}  // namespace ctrd::runtime::runc
