// SPDX-License-Identifier: Apache-2.0
#include "absl/time/clock.h"
#include "base/process.h"
#include "base/status.h"
#include "base/wire.h"
#include "runtime/runc/invocation.h"
#include "runtime/shim/commands.h"
#include "runtime/shim/runc_options.h"

namespace ctrd::runtime::shim {
namespace {

constexpr absl::Duration kRuntimeLimit = absl::Seconds(10);
constexpr char kFeaturesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

}  // namespace

absl::StatusOr<std::string> InfoCommand() {
  ASSIGN_OR_RETURN(const std::string input, ReadStandardInput());
  const base::Any any = base::ReadWireAny(input);
  std::string binary = "runc";
  if (IsRuncOptions(any)) {
    ASSIGN_OR_RETURN(const RuncOptions options, DecodeRuncOptions(any));
    if (!options.binary_name.empty()) binary = options.binary_name;
  }
  base::WireWriter info;
  info.Bytes(1, kRuntimeName);
  info.Message(2, base::WireWriter().Bytes(1, CTRD_VERSION).Take());
  info.Any(3, any);
  const auto features =
      base::Run({.argv = {binary, "features"}, .environment = runc::RuntimeEnvironment()}, "",
                absl::Now() + kRuntimeLimit);
  // Older runtimes have no such verb: nothing is known then.
  if (features.ok() && features->exit_code == 0) {
    info.Any(4, {.type_url = kFeaturesType, .value = features->output});
  }
  return info.Take();
}

}  // namespace ctrd::runtime::shim
