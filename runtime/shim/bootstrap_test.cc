// SPDX-License-Identifier: Apache-2.0
#include "runtime/shim/bootstrap.h"

#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "gtest/gtest.h"
#include "runtime/shim/bundle_spec.h"
#include "runtime/shim/flags.h"
#include "runtime/shim/logger.h"
#include "runtime/shim/runc_options.h"

namespace ctrd::runtime::shim {
namespace {

using base::IsOk;
using base::StatusIs;

base::Any RuncAny() {
  return {.type_url = "containerd.runc.v1.Options",
          .value = base::WireWriter().Bytes(3, "/shims").Bytes(6, "crun").Take()};
}

std::string Encode(const base::Any& any) {
  return base::WireWriter().Bytes(1, any.type_url).Bytes(2, any.value).Take();
}

TEST(Bootstrap, SocketAddressIsTheOneOfAllGenerations) {
  EXPECT_EQ(SocketAddress("/run/containerd/s", "/run/containerd/containerd.sock", "default", "c1"),
            "unix:///run/containerd/s/"
            "d25aa4ef11a84e954e74a5bcff06557d0b6ea8d0c00243896f29826694bbd888");
  EXPECT_EQ(SocketAddress("/s", "/run//containerd/./x/../containerd.sock", "default", "c1"),
            SocketAddress("/s", "/run/containerd/containerd.sock", "default", "c1"));
}

TEST(Bootstrap, NewDaemonIsKnownByItsParams) {
  base::WireWriter params;
  params.Bytes(1, "c1").Bytes(2, "default").Bytes(5, "/c.sock.ttrpc");
  params.Message(8, base::WireWriter().Any(1, {"other.Options", "x"}).Take());
  params.Message(8, base::WireWriter().Any(1, RuncAny()).Take());
  params.Bytes(9, "/sockets");
  const Bootstrap bootstrap = ReadBootstrap(params.Take(), "c1", "default", true);
  EXPECT_EQ(bootstrap.generation, Generation::kProtobuf);
  EXPECT_EQ(bootstrap.options, RuncAny());
  EXPECT_EQ(bootstrap.ttrpc_address, "/c.sock.ttrpc");
  EXPECT_EQ(bootstrap.socket_dir, "/sockets");
}

TEST(Bootstrap, BareOptionsAreThoseOfOlderDaemons) {
  const Bootstrap json = ReadBootstrap(Encode(RuncAny()), "c1", "default", true);
  EXPECT_EQ(json.generation, Generation::kJson);
  EXPECT_EQ(json.options, RuncAny());
  const Bootstrap plain = ReadBootstrap("", "c1", "default", false);
  EXPECT_EQ(plain.generation, Generation::kPlain);
  EXPECT_TRUE(plain.options.empty());
  EXPECT_EQ(ReadBootstrap("\xff\xff garbage", "c1", "default", true).generation, Generation::kJson);
}

TEST(Bootstrap, AnswersAreInTheFormOfTheDaemon) {
  EXPECT_EQ(EncodeAnswer(Generation::kPlain, "unix:///s/1"), "unix:///s/1");
  EXPECT_EQ(EncodeAnswer(Generation::kJson, "unix:///s/1"),
            R"({"version":2,"address":"unix:///s/1","protocol":"ttrpc"})");
  EXPECT_EQ(EncodeAnswer(Generation::kProtobuf, "unix:///s/1"),
            "\x08\x03\x12\x0bunix:///s/1\x1a\x05ttrpc");
}

TEST(Flags, GoStyle) {
  ASSERT_OK_AND_ASSIGN(
      Flags flags, ParseFlags({"-namespace", "default", "--id=c1", "-debug", "-address", "/c.sock",
                               "-publish-binary", "/bin/c", "start", "-x"}));
  EXPECT_EQ(flags.namespace_name, "default");
  EXPECT_EQ(flags.id, "c1");
  EXPECT_EQ(flags.address, "/c.sock");
  EXPECT_TRUE(flags.debug);
  EXPECT_EQ(flags.action, "start");
  EXPECT_THAT(ParseFlags({"-nonsense"}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseFlags({"-id"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RuncOptions, ForeignTypesAreRefusedAndNoneIsFine) {
  EXPECT_THAT(DecodeRuncOptions({"runtimeoptions.v1.Options", ""}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DecodeRuncOptions({}), IsOk());
  ASSERT_OK_AND_ASSIGN(RuncOptions options, DecodeRuncOptions(RuncAny()));
  EXPECT_EQ(options.binary_name, "crun");
  EXPECT_EQ(options.shim_cgroup, "/shims");
}

TEST(RuncOptions, OldClientsSendTheSameUnderOtherNumbers) {
  base::WireWriter old;
  old.Varint(1, 1).Varint(2, 1).Varint(8, 1).Bytes(9, "/shims").Varint(10, 7).Varint(11, 8);
  old.Bytes(12, "/criu/work").Bytes(13, "/criu/image");
  const base::Any any{.type_url = "containerd.linux.runc.CreateOptions", .value = old.Take()};
  EXPECT_TRUE(IsRuncOptions(any));
  ASSERT_OK_AND_ASSIGN(RuncOptions options, DecodeRuncOptions(any));
  EXPECT_TRUE(options.no_pivot_root);
  EXPECT_TRUE(options.no_new_keyring);
  EXPECT_EQ(options.shim_cgroup, "/shims");
  EXPECT_EQ(options.io_uid, 7u);
  EXPECT_EQ(options.io_gid, 8u);
  EXPECT_EQ(options.criu_work_path, "/criu/work");
  EXPECT_EQ(options.criu_image_path, "/criu/image");
  EXPECT_EQ(options.binary_name, "");
}

TEST(LoggerUri, QueryBecomesArguments) {
  ASSERT_OK_AND_ASSIGN(LoggerUri uri, ParseLoggerUri("binary-v2:///bin/log%20er?a=1&b=x+y&a=2"));
  EXPECT_EQ(uri.path, "/bin/log er");
  EXPECT_EQ(uri.arguments, (std::vector<std::string>{"a", "1", "b", "x y"}));
  EXPECT_TRUE(uri.strict);
  EXPECT_THAT(ParseLoggerUri("file:///x"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WithTerminal, RefusesADocumentThatIsNestedTooDeep) {
  const std::string deep =
      "{\"a\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  EXPECT_THAT(WithTerminal(deep, false), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WithTerminal, ReplacesTheDocumentsOwn) {
  ASSERT_OK_AND_ASSIGN(std::string process,
                       WithTerminal(R"({"args":["sh"],"terminal":true})", false));
  EXPECT_EQ(process, R"({"args":["sh"],"terminal":false})");
  EXPECT_THAT(WithTerminal("[]", false), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_THAT(WithTerminal("{", false), StatusIs(absl::StatusCode::kUnknown));
}

}  // namespace
}  // namespace ctrd::runtime::shim
