// SPDX-License-Identifier: Apache-2.0
#include "daemon/config/config.h"

#include <filesystem>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "daemon/config/migrate.h"
#include "gtest/gtest.h"

namespace ctrd::config {
namespace {

using testing::Contains;
using testing::HasSubstr;

const Schemas& TestSchemas() {
  static const auto* const schemas = new Schemas{
      {"io.containerd.server.v1.grpc",
       {{"address", std::string(kDefaultAddress)}, {"uid", int64_t{0}}, {"gid", int64_t{0}}}},
      {"io.containerd.server.v1.ttrpc",
       {{"address", std::string("/run/containerd/containerd.sock.ttrpc")},
        {"uid", int64_t{0}},
        {"gid", int64_t{0}}}},
      {"io.containerd.gc.v1.scheduler",
       {{"pause_threshold", 0.02}, {"schedule_delay", std::string("0s")}}},
      {"io.containerd.snapshotter.v1.overlayfs",
       {{"upperdir_label", false}, {"mount_options", std::vector<std::string>()}}},
  };
  return *schemas;
}

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = base::MakeTempDirectory(testing::TempDir(), "config-");
    ASSERT_THAT(made, base::IsOk());
    directory_ = *made;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_ + "/" + name;
    EXPECT_THAT(base::WriteFileAtomically(path, text, 0644), base::IsOk());
    return path;
  }
  absl::StatusOr<Config> Load(const std::string& path) {
    return LoadConfig(path, TestSchemas(),
                      [this](const std::string& w) { warnings_.push_back(w); });
  }

  std::string directory_;
  std::vector<std::string> warnings_;
};

TEST_F(ConfigTest, ReadsVersion4AndFillsInDefaults) {
  ASSERT_OK_AND_ASSIGN(const Config config, Load(Write("c.toml", R"(
version = 4
root = "/r"
[plugins."io.containerd.gc.v1.scheduler"]
pause_threshold = 0.5
[timeouts]
"io.containerd.timeout.task.state" = "7s"
)")));
  EXPECT_EQ(config.root, "/r");
  EXPECT_EQ(config.state, "/run/containerd");
  const Section& gc = config.plugins.at("io.containerd.gc.v1.scheduler");
  EXPECT_EQ(gc.Number("pause_threshold"), 0.5);
  EXPECT_EQ(gc.String("schedule_delay"), "0s");
  EXPECT_EQ(config.Timeout("task.state"), absl::Seconds(7));
  EXPECT_EQ(config.Timeout("shim.load"), absl::Seconds(5));
  EXPECT_TRUE(warnings_.empty()) << warnings_[0];
}

TEST_F(ConfigTest, MigratesVersion1Names) {
  ASSERT_OK_AND_ASSIGN(const Config config, Load(Write("c.toml", R"(
disabled_plugins = ["cri", "restart"]
[grpc]
address = "/tmp/x.sock"
gid = 5
[plugins.scheduler]
schedule_delay = "1s"
)")));
  EXPECT_THAT(config.disabled_plugins,
              testing::ElementsAre("io.containerd.grpc.v1.cri",
                                   "io.containerd.monitor.container.v1.restart"));
  EXPECT_EQ(config.plugins.at("io.containerd.gc.v1.scheduler").String("schedule_delay"), "1s");
  const Section& ttrpc = config.plugins.at("io.containerd.server.v1.ttrpc");
  EXPECT_EQ(config.plugins.at("io.containerd.server.v1.grpc").String("address"), "/tmp/x.sock");
  EXPECT_EQ(ttrpc.String("address"), "/tmp/x.sock.ttrpc");
  EXPECT_EQ(ttrpc.Integer("gid"), 5);
}

TEST_F(ConfigTest, CoreSchedulingOfOlderFilesIsAnEntryOfTheShimsEnvironment) {
  const char* const wanted =
      "version = 2\n[plugins.'io.containerd.runtime.v2.task']\nsched_core = ";
  for (const bool on : {true, false}) {
    toml::parse_result parsed = toml::parse(wanted + std::string(on ? "true" : "false"));
    ASSERT_TRUE(parsed);
    toml::table& file = parsed.table();
    Migrate(file, 2, [](const std::string&) {});
    const toml::node_view entry = file["plugins"]["io.containerd.shim.v1.manager"]["env"][0];
    EXPECT_EQ(entry.value_or(std::string()), on ? "SCHED_CORE=1" : "");
    EXPECT_FALSE(file["plugins"]["io.containerd.runtime.v2.task"]["sched_core"]);
  }
}

TEST_F(ConfigTest, AcceptsTheFileDockerWrites) {
  ASSERT_OK_AND_ASSIGN(const Config config, Load(Write("c.toml", R"(
disabled_plugins = ["io.containerd.grpc.v1.cri"]
imports = []
oom_score = 0
required_plugins = []
root = "/var/lib/docker/containerd/daemon"
state = "/var/run/docker/containerd/daemon"
temp = ""
version = 2
[cgroup]
  path = ""
[debug]
  address = "/var/run/docker/containerd/containerd-debug.sock"
  format = ""
  gid = 0
  level = "info"
  uid = 0
[grpc]
  address = "/var/run/docker/containerd/containerd.sock"
  gid = 0
  max_recv_message_size = 16777216
  max_send_message_size = 16777216
  tcp_address = ""
  uid = 0
[metrics]
  address = ""
  grpc_histogram = false
[plugins]
[proxy_plugins]
[stream_processors]
[timeouts]
[ttrpc]
  address = ""
  gid = 0
  uid = 0
)")));
  EXPECT_EQ(config.log_level, "info");
  EXPECT_EQ(config.plugins.at("io.containerd.server.v1.ttrpc").String("address"),
            "/var/run/docker/containerd/containerd.sock.ttrpc");
}

TEST_F(ConfigTest, WarnsOfUnknownKeysAndGoesOn) {
  ASSERT_THAT(Load(Write("c.toml",
                         "version = 4\nfoo = 1\n"
                         "[plugins.\"io.containerd.gc.v1.scheduler\"]\nbar = 2\n"
                         "[plugins.\"io.containerd.other.v1.thing\"]\nbaz = 3\n")),
              base::IsOk());
  EXPECT_THAT(warnings_, Contains(HasSubstr("'foo'")));
  EXPECT_THAT(warnings_, Contains(HasSubstr("'bar'")));
  EXPECT_EQ(warnings_.size(), 2u);
}

TEST_F(ConfigTest, RefusesWrongTypesWithFileAndLine) {
  const std::string path =
      Write("c.toml",
            "version = 4\n[plugins.\"io.containerd.snapshotter.v1.overlayfs\"]\n"
            "upperdir_label = \"yes\"\n");
  EXPECT_THAT(Load(path), base::StatusIs(absl::StatusCode::kInvalidArgument,
                                         testing::AllOf(HasSubstr("row 3"), HasSubstr(path),
                                                        HasSubstr("upperdir_label"))));
  EXPECT_THAT(Load(Write("d.toml", "version = \n")),
              base::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("row 1")));
}

TEST_F(ConfigTest, RefusesHigherVersionsBadUrisAndBadTimeouts) {
  EXPECT_THAT(Load(Write("c.toml", "version = 5\n")),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             HasSubstr("equal to or less than `4`, got `5`")));
  EXPECT_THAT(Load(Write("c.toml", "version = 4\ndisabled_plugins = [\"cri\"]\n")),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             HasSubstr("invalid disabled plugin URI \"cri\"")));
  EXPECT_THAT(Load(Write("c.toml", "version = 4\n[timeouts]\n\"x\" = \"soon\"\n")),
              base::StatusIs(absl::StatusCode::kInvalidArgument,
                             HasSubstr("unable to parse soon into a time duration")));
  EXPECT_THAT(Load(directory_ + "/none.toml"),
              base::StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such file")));
}

TEST_F(ConfigTest, ImportsMergePluginSectionsKeyByKey) {
  Write("a.toml",
        "version = 2\n[plugins.\"io.containerd.snapshotter.v1.overlayfs\"]\n"
        "mount_options = [\"x\"]\n");
  Write("b.toml", "version = 2\ndisabled_plugins = [\"io.containerd.b.v1.b\"]\nroot = \"\"\n");
  ASSERT_OK_AND_ASSIGN(const Config config, Load(Write("c.toml", R"(
version = 2
root = "/keep"
imports = ["*.toml"]
disabled_plugins = ["io.containerd.a.v1.a"]
[plugins."io.containerd.snapshotter.v1.overlayfs"]
upperdir_label = true
)")));
  EXPECT_EQ(config.root, "/keep");
  EXPECT_THAT(config.disabled_plugins,
              testing::ElementsAre("io.containerd.a.v1.a", "io.containerd.b.v1.b"));
  const Section& overlay = config.plugins.at("io.containerd.snapshotter.v1.overlayfs");
  EXPECT_TRUE(overlay.Bool("upperdir_label"));
  EXPECT_THAT(overlay.Strings("mount_options"), testing::ElementsAre("x"));
}

TEST_F(ConfigTest, PrintsWhatItReads) {
  const std::string text = ToToml(DefaultConfig(TestSchemas()));
  ASSERT_OK_AND_ASSIGN(const Config config, Load(Write("c.toml", text)));
  EXPECT_EQ(ToToml(config), text);
  EXPECT_TRUE(warnings_.empty()) << warnings_[0];
}

}  // namespace
}  // namespace ctrd::config
