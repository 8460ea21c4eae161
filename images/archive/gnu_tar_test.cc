// SPDX-License-Identifier: Apache-2.0

// Our reader and writer against GNU tar.
#include "base/process.h"
#include "images/archive/testing/apply_fixture.h"

namespace ctrd::archive {
namespace {

using base::IsOk;

class GnuTarTest : public ApplyFixture {
 protected:
  std::string Shell(const std::string& script) {
    auto result = base::Run({.argv = {"/bin/sh", "-c", script},
                             .environment = base::CurrentEnvironment(),
                             .working_directory = top_},
                            "", absl::Now() + absl::Seconds(60));
    EXPECT_THAT(result, IsOk());
    if (!result.ok()) return "";
    EXPECT_EQ(result->exit_code, 0) << result->output;
    return result->output;
  }
};

TEST_F(GnuTarTest, ReadsWhatItWritesInEveryFormat) {
  if (!base::FindExecutable("tar").ok()) GTEST_SKIP() << "no tar";
  const std::string name(90, 'n');
  Shell("mkdir -p tree/" + name + "/" + name + " && cd tree && echo data > " + name + "/" + name +
        "/file && ln -s " + name + "/" + name + "/file link && ln " + name + "/" + name +
        "/file hard && mkfifo fifo && seq 100000 > numbers && mkdir d && chmod 1777 d && "
        "chown 4000000:5000000 numbers && touch -d @-100 -h link && chmod 4711 numbers");
  for (const char* format : {"gnu", "posix", "oldgnu"}) {
    Shell(
        fmt::format("tar --format={} -C tree -cf out.tar . && rm -rf root && mkdir root", format));
    ASSERT_OK_AND_ASSIGN(const std::string tar, base::ReadFile(top_ + "/out.tar"));
    ASSERT_THAT(Apply(tar), IsOk());
    const std::string list = " && find . -mindepth 1 -printf '%P %y %m %U %G %s %n %l\\n' | sort";
    EXPECT_EQ(Shell("cd root" + list), Shell("cd tree" + list)) << format;
    EXPECT_EQ(Shell("cat root/numbers | cksum"), Shell("cat tree/numbers | cksum"));
  }
  Shell("rm -rf tree out.tar");
}

TEST_F(GnuTarTest, ReadsWhatWeWrite) {
  if (!base::FindExecutable("tar").ok()) GTEST_SKIP() << "no tar";
  const std::string name = std::string(99, 'a') + "/" + std::string(99, 'b');
  const std::string tar = TarBuilder()
                              .File(name, "data")
                              .Add({.name = "big", .mode = 0600, .uid = 3'000'000}, "x")
                              .Link(name, "hard")
                              .Build();
  ASSERT_THAT(base::WriteFileAtomically(top_ + "/in.tar", tar, 0600), IsOk());
  EXPECT_EQ(Shell("tar --numeric-owner -tf in.tar"), name + "\nbig\nhard\n");
  EXPECT_EQ(Shell("tar -xOf in.tar " + name), "data");
  EXPECT_NE(Shell("tar --numeric-owner -tvf in.tar").find("3000000"), std::string::npos);
  Shell("rm in.tar");
}

}  // namespace
}  // namespace ctrd::archive
