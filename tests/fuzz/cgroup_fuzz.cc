// SPDX-License-Identifier: Apache-2.0

// Any bytes as the files of a control group: "<name>\0<text>\0<name>\0<text>…". Statistics of both
// versions never fail the process.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/status.h"
#include "runtime/cgroups/cgroup.h"
#include "runtime/cgroups/cgroup_file.h"
#include "tests/fuzz/fuzzer.h"

namespace {

constexpr const char* kControllers[] = {"blkio",  "cpu",  "cpuacct", "hugetlb",
                                        "memory", "pids", "rdma"};

// One directory for all inputs of this process, on memory; removed at its end.
class Directory {
 public:
  Directory() {
    char name[] = "/dev/shm/ctrd-fuzz-XXXXXX";
    CTRD_FUZZ_CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<std::string> ctrd::fuzz::Seeds() {
  using namespace std::string_literals;
  return {
      "memory.stat\0anon 4096\nfile 8192\n\0memory.current\0123\n\0memory.max\0max\n\0"
      "memory.events\0oom 1\noom_kill 1\n\0cpu.stat\0usage_usec 5\nuser_usec 3\n\0"s,
      "io.stat\0259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n\0pids.current\0003\0"
      "pids.max\0max\0rdma.current\0mlx4_0 hca_handle=2 hca_object=max\n\0"s,
      "cpuacct.stat\0user 1\nsystem 2\n\0cpuacct.usage\0009\0cpuacct.usage_percpu\0001 2 3\0"
      "memory.stat\0cache 1\ntotal_rss 2\n\0memory.usage_in_bytes\0001\0"s,
      "blkio.throttle.io_service_bytes_recursive\0008:0 Read 1\n8:0 Total 1\nTotal 1\n\0"
      "blkio.bfq.io_serviced_recursive\0008:0 Sync 1\n\0memory.oom_control\0oom_kill 1\n\0"s};
}

std::vector<std::string> ctrd::fuzz::Words() {
  return {"max\n",
          "rbytes=",
          "8:0 ",
          "Total ",
          std::string(1, '\0'),
          "memory.stat",
          "io.stat",
          "cpu.stat",
          "memory.pressure",
          "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
          "io.pressure",
          "-9"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  std::string_view rest = ctrd::fuzz::AsText(data, size);
  std::vector<std::string> written;
  while (!rest.empty() && written.size() < 16) {
    const std::string name(ctrd::fuzz::TakePart(rest));
    const std::string_view text = ctrd::fuzz::TakePart(rest);
    (void)ctrd::runtime::cgroups::ParseKeyValues(text);
    if (name.empty() || name.size() > 64 || name[0] == '.' || name.find('/') != std::string::npos)
      continue;
    written.push_back(directory.path() + "/" + name);
    std::ofstream(written.back(), std::ios::binary) << text;
  }
  std::map<std::string, std::string> v1;
  for (const char* controller : kControllers) v1[controller] = directory.path();
  (void)ctrd::runtime::cgroups::Cgroup(true, {{"", directory.path()}}).Statistics();
  (void)ctrd::runtime::cgroups::Cgroup(false, v1).Statistics();
  for (const std::string& path : written) (void)::unlink(path.c_str());
  return 0;
}
