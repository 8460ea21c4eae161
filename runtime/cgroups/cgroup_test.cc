// SPDX-License-Identifier: Apache-2.0

// Statistics from directories that look like control groups, held field by field.
#include "runtime/cgroups/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/testing/status_matchers.h"
#include "base/wire.h"
#include "gtest/gtest.h"
#include "runtime/cgroups/cgroup_file.h"
#include "runtime/cgroups/oom_watch.h"

namespace ctrd::runtime::cgroups {
namespace {

using base::IsOk;
using base::StatusIs;

class CgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(directory_, base::MakeTempDirectory(testing::TempDir(), "cgroup-test"));
  }
  void TearDown() override { ASSERT_THAT(base::RemoveTree(directory_), IsOk()); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_THAT(base::WriteFileAtomically(directory_ + "/" + name, text, 0600), IsOk());
  }
  Cgroup V1() const {
    std::map<std::string, std::string> directories;
    for (const char* name : {"pids", "cpu", "cpuacct", "memory", "blkio"}) {
      directories[name] = directory_;
    }
    return Cgroup(false, directories);
  }
  Cgroup V2() const { return Cgroup(true, {{"", directory_}}); }
  std::string directory_;
};

// The value at a path of field numbers; nullopt where one is absent.
std::optional<uint64_t> At(std::string_view message, std::vector<int> path) {
  base::WireReader reader(message);
  while (const auto field = reader.Next()) {
    if (field->number != path.front()) continue;
    if (path.size() == 1) return field->varint;
    return At(field->bytes, std::vector<int>(path.begin() + 1, path.end()));
  }
  return std::nullopt;
}

TEST_F(CgroupTest, Version1FieldsComeFromTheirFiles) {
  Write("pids.current", "3\n");
  Write("pids.max", "max\n");
  Write("cpuacct.usage", "12345\n");
  Write("cpuacct.stat", "user 200\nsystem 100\n");
  Write("cpuacct.usage_percpu", "12000 0 345\n");
  Write("cpu.stat", "nr_periods 7\nnr_throttled 2\nthrottled_time 99\n");
  Write("memory.stat",
        "cache 11\nrss 12\npgpgin 13\nhierarchical_memory_limit 14\ntotal_cache 15\n");
  for (const char* group : {"", "memsw."}) {
    Write(std::string("memory.") + group + "limit_in_bytes", "1000\n");
    Write(std::string("memory.") + group + "usage_in_bytes", "100\n");
    Write(std::string("memory.") + group + "max_usage_in_bytes", "200\n");
    Write(std::string("memory.") + group + "failcnt", "4\n");
  }
  Write("memory.oom_control", "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n");
  Write("blkio.throttle.io_service_bytes", "999:1 Read 4096\n999:1 Total 4096\nTotal 4096\n");

  ASSERT_OK_AND_ASSIGN(const base::Any any, V1().Statistics());
  EXPECT_EQ(any.type_url, "io.containerd.cgroups.v1.Metrics");
  const std::string& metrics = any.value;
  EXPECT_EQ(At(metrics, {2, 1}), 3u);
  EXPECT_EQ(At(metrics, {2, 2}), std::nullopt);  // "max" is 0 here.
  EXPECT_EQ(At(metrics, {3, 1, 1}), 12345u);
  EXPECT_EQ(At(metrics, {3, 1, 2}), uint64_t{100'000'000'000} / sysconf(_SC_CLK_TCK));
  EXPECT_EQ(At(metrics, {3, 2, 3}), 99u);
  EXPECT_EQ(At(metrics, {4, 1}), 11u);
  EXPECT_EQ(At(metrics, {4, 7}), 13u);
  EXPECT_EQ(At(metrics, {4, 16}), 14u);
  EXPECT_EQ(At(metrics, {4, 18}), 15u);
  EXPECT_EQ(At(metrics, {4, 33, 1}), 1000u);
  EXPECT_EQ(At(metrics, {4, 34, 3}), 200u);
  EXPECT_EQ(At(metrics, {4, 35}), std::nullopt);
  EXPECT_EQ(At(metrics, {5, 1, 3}), 999u);
  EXPECT_EQ(At(metrics, {5, 1, 5}), 4096u);
  EXPECT_EQ(At(metrics, {9, 3}), 2u);
}

TEST_F(CgroupTest, Version1IsContentWithNothing) {
  ASSERT_OK_AND_ASSIGN(const base::Any any, V1().Statistics());
  EXPECT_NE(At(any.value, {3}), std::nullopt);
  EXPECT_NE(At(any.value, {3, 1}), std::nullopt);
  EXPECT_EQ(At(any.value, {4}), std::nullopt);
}

TEST_F(CgroupTest, Version2FieldsComeFromTheirFiles) {
  Write("pids.current", "3\n");
  Write("pids.max", "max\n");
  Write("cpu.stat", "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_bursts 1\n");
  Write("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\n");
  Write("memory.stat", "anon 21\nfile 22\nthp_collapse_alloc 23\n");
  Write("memory.current", "500\n");
  Write("memory.max", "max\n");
  Write("memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n");
  Write("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:0\n");
  Write("rdma.max", "mlx4_0 hca_handle=2 hca_object=max\n");
  ASSERT_OK_AND_ASSIGN(const base::Any any, V2().Statistics());
  EXPECT_EQ(any.type_url, "io.containerd.cgroups.v2.Metrics");
  const std::string& metrics = any.value;
  EXPECT_EQ(At(metrics, {1, 2}), UINT64_MAX);
  EXPECT_EQ(At(metrics, {2, 1}), 10u);
  EXPECT_EQ(At(metrics, {2, 7, 1, 4}), 77u);
  EXPECT_EQ(At(metrics, {2, 7, 1, 1}), std::bit_cast<uint64_t>(1.5));
  EXPECT_EQ(At(metrics, {2, 8}), 1u);
  EXPECT_EQ(At(metrics, {4, 1}), 21u);
  EXPECT_EQ(At(metrics, {4, 31}), 23u);
  EXPECT_EQ(At(metrics, {4, 32}), 500u);
  EXPECT_EQ(At(metrics, {4, 33}), UINT64_MAX);
  EXPECT_EQ(At(metrics, {4, 38}), std::nullopt);
  EXPECT_EQ(At(metrics, {5, 2, 3}), 4294967295u);
  EXPECT_EQ(At(metrics, {6, 1, 1}), 8u);
  EXPECT_EQ(At(metrics, {6, 1, 6}), 4u);
  EXPECT_EQ(At(metrics, {8, 5}), 4u);
}

TEST_F(CgroupTest, Version2WithAnUnknownFormatFails) {
  Write("memory.stat", "anon 1 2 3\n");
  EXPECT_THAT(V2().Statistics(), StatusIs(absl::StatusCode::kUnknown));
}

TEST_F(CgroupTest, OwnGroupIsFoundOnThisHost) {
  ASSERT_OK_AND_ASSIGN(const Cgroup own, Cgroup::OfProcess(::getpid()));
  EXPECT_EQ(own.unified(), HostIsUnified());
  EXPECT_THAT(own.Statistics(), IsOk());
}

TEST_F(CgroupTest, ControllersAreHandedDownToTheParentOneByOne) {
  Write("cgroup.controllers", "cpu memory\n");
  for (const char* name : {"/a", "/a/b"}) {
    ASSERT_THAT(base::MakeDirectories(directory_ + name, 0755), IsOk());
  }
  for (const char* name : {"", "a/", "a/b/"}) {
    Write(std::string(name) + "cgroup.subtree_control", "");
  }
  const Cgroup container(true, {{"", directory_ + "/a/b"}});
  EXPECT_THAT(container.EnableControllers(directory_), IsOk());
  const auto text = [&](const std::string& name) { return ReadText(directory_ + "/" + name); };
  // A file keeps what one write after the other put at its start: the last and longest is whole.
  EXPECT_EQ(text("cgroup.subtree_control"), "+memory");
  EXPECT_EQ(text("a/cgroup.subtree_control"), "+memory");
  EXPECT_EQ(text("a/b/cgroup.subtree_control"), "");
  // What one controller cannot do does not keep the others, and is told.
  ASSERT_EQ(::unlink((directory_ + "/a/cgroup.subtree_control").c_str()), 0);
  EXPECT_THAT(container.EnableControllers(directory_), StatusIs(absl::StatusCode::kNotFound));
}

class OomWatchTest : public CgroupTest {
 protected:
  // In place: a file that is replaced is not the one that is watched.
  void Count(int kills) {
    const std::string path = directory_ + "/memory.events";
    ASSERT_OK_AND_ASSIGN(const base::UniqueFd file, base::Open(path, O_WRONLY | O_CREAT, 0600));
    ASSERT_THAT(base::WriteAll(file.get(), fmt::format("oom 9\noom_kill {}\n", kills), path),
                IsOk());
  }
};

TEST_F(OomWatchTest, Version2TellsKillsWhenTheCounterGrowsAndOnceMoreAtTheEnd) {
  Count(0);
  Write("cgroup.events", "populated 1\n");
  ASSERT_OK_AND_ASSIGN(const auto loop, base::EventLoop::Create());
  int told = 0;
  auto watch = OomWatch::Start(loop.get(), V2(), [&] {
    ++told;
    loop->Stop();
  });
  ASSERT_THAT(watch, IsOk());
  Count(2);
  loop->Run();
  EXPECT_EQ(told, 1);
  Count(3);
  watch->reset();  // Before the loop has seen the change.
  EXPECT_EQ(told, 2);
}

TEST_F(OomWatchTest, Version2StaysSilentWithoutAKill) {
  Count(5);
  Write("cgroup.events", "populated 1\n");
  ASSERT_OK_AND_ASSIGN(const auto loop, base::EventLoop::Create());
  int told = 0;
  auto watch = OomWatch::Start(loop.get(), V2(), [&] { ++told; });
  ASSERT_THAT(watch, IsOk());
  watch->reset();
  EXPECT_EQ(told, 1);  // What there was before counts from zero.
  watch = OomWatch::Start(loop.get(), Cgroup(true, {{"", directory_ + "/gone"}}), [&] { ++told; });
  EXPECT_THAT(watch, testing::Not(IsOk()));
  EXPECT_EQ(told, 1);
}

TEST_F(CgroupTest, PathsThatOnlyTheRuntimeCanTellAreNotGuessed) {
  for (const char* path :
       {"", "/", "relative", "system.slice:runc:c1", "/../x", "/nowhere/at/all"}) {
    EXPECT_THAT(Cgroup::AtPath(path), StatusIs(absl::StatusCode::kNotFound)) << path;
  }
}

TEST_F(CgroupTest, TheUnifiedHierarchyOfAHybridHostCounts) {
  const std::string path = directory_.substr(directory_.rfind('/'));  // Nobody else's.
  const std::string directory = std::string(kMountPoint) + "/unified" + path;
  if (HostIsUnified() || ::mkdir(directory.c_str(), 0755) != 0) {
    GTEST_SKIP() << "needs root, and a host with both kinds of hierarchies";
  }
  ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::AtPath(path));
  cgroup.Remove();
  EXPECT_NE(::rmdir(directory.c_str()), 0) << "it was left";
}

TEST(CgroupFile, TextsOfAllKinds) {
  EXPECT_EQ(ParseNumber("max", 7), 7u);
  EXPECT_EQ(ParseNumber("-1", 7), 0u);
  EXPECT_EQ(ParseNumber("12x", 7), 0u);
  EXPECT_THAT(ParseKeyValues("a 1\nb\n"), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_THAT(ParseKeyValues(" \n"), StatusIs(absl::StatusCode::kUnknown));
  EXPECT_EQ(ValueOf(ParseKeyValues("a 1\nb max\n").value(), "a"), 1u);
  EXPECT_EQ(Split(" a  b ", ' ').size(), 2u);
}

}  // namespace
}  // namespace ctrd::runtime::cgroups
