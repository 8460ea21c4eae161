// SPDX-License-Identifier: Apache-2.0

// Archives that try to leave their root, and what becomes of them. The list follows
// docs/security.md.
#include <ostream>
#include <vector>

#include "images/archive/testing/apply_fixture.h"

namespace ctrd::archive {
namespace {

using base::IsOk;

// What must be at a name afterwards: text of a file, "-> target" of a link, "/" a directory,
// "(nothing)" no such thing.
struct Expected {
  std::string name;
  std::string text;
};

struct BreakOut {
  std::string name;
  // OUT in names and targets stands for the absolute path of the directory outside.
  std::function<void(TarBuilder&, const std::string& out)> build;
  std::vector<Expected> expected;
  bool fails = false;
  std::vector<std::pair<std::string, std::string>> same_file = {};
};
void PrintTo(const BreakOut& item, std::ostream* stream) { *stream << item.name; }

class BreakOutTest : public ApplyFixture, public testing::WithParamInterface<BreakOut> {
 protected:
  void Check() {
    ExpectOutsideUntouched();
    for (const Expected& expected : GetParam().expected) {
      const std::string& name = expected.name;
      if (expected.text == "(nothing)") {
        EXPECT_FALSE(Has(name)) << name;
      } else if (expected.text == "/") {
        EXPECT_TRUE(S_ISDIR(Stat(name).st_mode)) << name;
      } else {
        EXPECT_EQ(Text(name), expected.text) << name;
      }
    }
    for (const auto& [a, b] : GetParam().same_file) EXPECT_TRUE(SameFile(a, b)) << a << " " << b;
  }
};

TEST_P(BreakOutTest, StaysInsideWhenMounted) {
  TarBuilder tar;
  GetParam().build(tar, outside());
  const absl::Status status = Apply(tar.Build());
  EXPECT_EQ(status.ok(), !GetParam().fails) << status;
  Check();
}

TEST_P(BreakOutTest, NeverLeavesAnUpperDirectoryEither) {
  TarBuilder tar;
  GetParam().build(tar, outside());
  (void)Apply(tar.Build(), Overlay({lower(1), lower(2)}));  // Whiteouts may meet what is there.
  ExpectOutsideUntouched();
}

using Tar = TarBuilder;
using Out = const std::string&;

const BreakOut kCases[] = {
    {"SymlinkAbsolute",
     [](Tar& t, Out) { t.Directory("etc").Symlink("/etc", "localetc").File("localetc/f", "in"); },
     {{"etc/f", "in"}, {"localetc", "-> /etc"}}},
    {"SymlinkAbsoluteOutside",
     [](Tar& t, Out out) {
       t.Symlink(out, "away").File("away/file", "broken").File("away/new", "x");
     },
     {}},
    {"SymlinkUpAndOut",
     [](Tar& t, Out) {
       t.Directory("dummy").Symlink("../../outside", "dummy/away").File("dummy/away/file", "in");
     },
     {{"outside/file", "in"}}},
    {"SymlinkMultipleAbsolute",
     [](Tar& t, Out) {
       t.Directory("etc").Symlink("/etc", "one").Symlink("/one", "two").File("two/f", "in");
     },
     {{"etc/f", "in"}}},
    {"SymlinkMultipleRelative",
     [](Tar& t, Out) {
       t.Directory("d/e").Symlink("../../../../d", "d/e/one").Symlink("e/one/e", "d/two");
       t.File("d/two/f", "in");
     },
     {{"d/e/f", "in"}}},
    {"SymlinkEmptyFile",
     [](Tar& t, Out out) { t.Symlink(out + "/file", "empty").File("empty", ""); },
     {{"empty", ""}}},
    {"SymlinkParentDirectory",
     [](Tar& t, Out) { t.Symlink("..", "up").File("up/f", "in"); },
     {{"f", "in"}, {"up", "-> .."}}},
    {"SymlinkEmptyFilename",
     [](Tar& t, Out) { t.Symlink("..", "up").File("up/", "in"); },
     {{"up", "in"}}},
    {"SymlinkParentRelative",
     [](Tar& t, Out) { t.Symlink("../up/../../root2", "up").File("up2/../up3/f", "in"); },
     {{"up3/f", "in"}}},
    {"SymlinkSlashEnded",
     [](Tar& t, Out out) { t.Symlink(out + "/dir", "away").Directory("away/", 0700); },
     {{"away", "/"}}},
    {"SymlinkOverrideDirectory",
     [](Tar& t, Out out) {
       t.Directory("d").File("d/f", "x").Symlink(out, "d").File("d/file", "in");
     },
     {}},
    {"SymlinkOverrideDirectoryRelative",
     [](Tar& t, Out) {
       t.Directory("d").File("d/f", "x").Symlink("../outside", "d").File("d/file", "in");
     },
     {{"outside/file", "in"}, {"d", "-> ../outside"}}},
    {"SymlinkOverridePath",
     [](Tar& t, Out out) {
       t.File("a/b/c/f", "x").Symlink(out, "a/b").File("a/b/dir/f", "in").File("a/b/file", "in");
     },
     {}},
    {"HardlinkRelative",
     [](Tar& t, Out) { t.File("d/f", "in").Link("d/../d/f", "h"); },
     {{"h", "in"}},
     false,
     {{"d/f", "h"}}},
    {"HardlinkDownAndOut",
     [](Tar& t, Out) { t.Directory("d").Link("d/../../outside/file", "h"); },
     {{"h", "(nothing)"}},
     true},
    {"HardlinkAbsolute",
     [](Tar& t, Out) { t.File("d/f", "in").Link("/d/f", "h"); },
     {{"h", "in"}},
     false,
     {{"d/f", "h"}}},
    {"HardlinkAbsoluteOutside",
     [](Tar& t, Out out) { t.Link(out + "/file", "h").File("h", "x"); },
     {},
     true},
    {"HardlinkRelativeLong",
     [](Tar& t, Out) { t.File("f", "in").Link("../../../../../../../f", "a/h"); },
     {{"a/h", "in"}},
     false,
     {{"f", "a/h"}}},
    {"HardlinkRelativeUpAndOut",
     [](Tar& t, Out) { t.Symlink("../outside", "up").Link("up/file", "h"); },
     {{"h", "(nothing)"}},
     true},
    {"HardlinkDirectRelative",
     [](Tar& t, Out) { t.Link("../outside/file", "h"); },
     {{"h", "(nothing)"}},
     true},
    {"HardlinkDirectAbsolute",
     [](Tar& t, Out out) { t.Link(out + "/file", "h"); },
     {{"h", "(nothing)"}},
     true},
    {"HardlinkSymlinkBeforeCreateTarget",
     [](Tar& t, Out) { t.Symlink("/target/f", "s").Link("s", "h").File("target/f", "in"); },
     {{"h", "-> /target/f"}, {"target/f", "in"}},
     false,
     {{"s", "h"}}},
    {"HardlinkSymlinkRelative",
     [](Tar& t, Out) { t.Symlink("../outside/file", "s").Link("s", "h").File("h", "new"); },
     {{"h", "new"}, {"s", "-> ../outside/file"}}},
    {"HardlinkSymlinkAbsolute",
     [](Tar& t, Out out) { t.Symlink(out + "/file", "s").Link("/s", "h"); },
     {},
     false,
     {{"s", "h"}}},
    {"HardlinkSymlinkChmod",
     [](Tar& t, Out out) { t.Symlink(out + "/file", "s").Link("s", "h", 04777); },
     {},
     false,
     {{"s", "h"}}},
    {"HardlinkParentInclusion",
     [](Tar& t, Out) { t.File("f", "in").Link("f", "new/parents/h"); },
     {{"new/parents/h", "in"}},
     false,
     {{"f", "new/parents/h"}}},
    {"HardlinkUpdatedParent",
     [](Tar& t, Out) {
       t.Directory("d")
           .File("d/f", "one")
           .Link("d/f", "d/h")
           .Directory("d", 0700)
           .Link("d/f", "d/i");
     },
     {{"d/i", "one"}},
     false,
     {{"d/h", "d/i"}}},
    {"DirectoryOverrideSymlink",
     [](Tar& t, Out out) { t.Symlink(out, "d").Directory("d").File("d/file", "in"); },
     {{"d", "/"}, {"d/file", "in"}}},
    {"DirectoryOverrideSymlinkAndHardlink",
     [](Tar& t, Out out) {
       t.Symlink(out, "s").Link("s", "h").Directory("s").File("s/file", "in").File("h/dir/f", "in");
     },
     {{"s/file", "in"}}},
    {"DirectoryCreation",
     [](Tar& t, Out) { t.Directory("../../outside/new").Directory("/abs/dir"); },
     {{"outside/new", "/"}, {"abs/dir", "/"}}},
    {"ParentInclusion", [](Tar& t, Out) { t.File("a/b/c/d/e", "in"); }, {{"a/b/c/d/e", "in"}}},
    {"UpdateDirectoryPermission",
     [](Tar& t, Out out) {
       t.Directory("d", 0777).File("d/f", "in").Directory("d", 0711).Symlink(out + "/file", "l");
       t.Directory("x/../d", 0700);
     },
     {{"d/f", "in"}}},
    {"WhiteoutRootParent",
     [](Tar& t, Out) { t.File("f", "in").File("../.wh.outside", ""); },
     {{"f", "in"}}},
    {"WhiteoutParent",
     [](Tar& t, Out) { t.File("d/f", "in").File("d/.wh...", ""); },
     {{"d/f", "in"}},
     true},
    {"WhiteoutRoot", [](Tar& t, Out) { t.File("f", "in").File(".wh.", ""); }, {{"f", "in"}}, true},
    {"WhiteoutCurrentDirectory",
     [](Tar& t, Out) { t.File("f", "in").File(".wh..", ""); },
     {{"f", "in"}},
     true},
    {"WhiteoutSymlink",
     [](Tar& t, Out out) { t.Symlink(out + "/file", "s").File(".wh.s", ""); },
     {{"s", "(nothing)"}}},
    {"WhiteoutSymlinkPath",
     [](Tar& t, Out out) { t.Symlink(out, "s").File("s/.wh.file", "").File("s/.wh.dir", ""); },
     {}},
    {"WhiteoutSymlinkPathOpaque",
     [](Tar& t, Out out) { t.Symlink(out, "s").File("s/.wh..wh..opq", ""); },
     {}},
    {"WhiteoutDirectoryName",
     [](Tar& t, Out) { t.File("d/f", "in").Directory(".wh.d"); },
     {{"d", "(nothing)"}, {".wh.d", "(nothing)"}}},
    {"WhiteoutDeadSymlinkParent",
     [](Tar& t, Out) { t.Symlink("missing/d", "s").File("s/.wh.f", ""); },
     {{"s", "-> missing/d"}}},
    {"WhiteoutRelativePath",
     [](Tar& t, Out) { t.File("d/f", "in").File("d/e/../.wh.f", ""); },
     {{"d/f", "(nothing)"}}},
    {"WhiteoutIncludesParents",
     [](Tar& t, Out) { t.File("d/f", "in").File("new/d/.wh.f", ""); },
     {{"d/f", "in"}}},
    {"WhiteoutParentRemoval",
     [](Tar& t, Out) {
       t.File("d/f", "in").File("d/e/g", "in").File(".wh.d", "").File("d/f", "2");
     },
     {{"d/f", "2"}, {"d/e", "(nothing)"}}},

    // The remembered parent directory must not outlive a change of its entry.
    {"SwapDirectoryForSymlinkBetweenTwoEntries",
     [](Tar& t, Out out) {
       t.Directory("d").File("d/one", "1").Symlink(out, "d").File("d/file", "x").File("d/two", "2");
     },
     {}},
    {"SwapDirectoryForRelativeSymlinkBetweenTwoEntries",
     [](Tar& t, Out) {
       t.Directory("d").File("d/one", "1").Directory("other").File("d/two", "2");
       t.Symlink("other", "d").File("d/three", "3");
     },
     {{"d", "-> other"}, {"other/three", "3"}}},
    {"SwapAncestorForSymlinkBetweenTwoEntries",
     [](Tar& t, Out out) {
       t.File("a/b/dir/one", "1").Symlink(out, "a/b").File("a/b/dir/two", "2");
     },
     {}},
    {"SwapByWhiteoutBetweenTwoEntries",
     [](Tar& t, Out out) {
       t.File("a/dir/one", "1").File(".wh.a", "").Symlink(out, "a").File("a/dir/two", "2");
     },
     {}},
    {"SwapByWhiteoutOfTheDirectoryItself",
     [](Tar& t, Out) { t.File("a/d/one", "1").File("a/.wh.d", "").File("a/d/two", "2"); },
     {{"a/d/one", "(nothing)"}, {"a/d/two", "2"}}},
    {"SwapByOpaqueMarker",
     [](Tar& t, Out out) {
       t.Directory("a").Symlink("b", "a/s").File("a/b/one", "1").File("a/.wh..wh..opq", "");
       t.File("a/s/two", "2").Symlink(out, "a/b").File("a/b/dir/three", "3");
     },
     {}},
    {"SwapOfALinkOnTheWay",
     [](Tar& t, Out out) {
       t.Directory("real").Symlink("real", "s").File("s/one", "1").Symlink(out, "s");
       t.File("s/file", "2");
     },
     {{"real/one", "1"}, {"real/file", "(nothing)"}}},
    {"SwapByHardLinkToASymlink",
     [](Tar& t, Out out) {
       t.Directory("d").File("d/one", "1").Symlink(out, "s").Link("s", "d").File("d/file", "2");
     },
     {}},
    {"MissingBehindALinkWithDots",
     [](Tar& t, Out) { t.Symlink("missing/../../../outside/dir", "s").File("s/f", "in"); },
     {{"outside/dir/f", "in"}, {"missing", "(nothing)"}}},
};

INSTANTIATE_TEST_SUITE_P(Archives, BreakOutTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

// Sockets are no matter for tar: nothing makes one.
TEST_F(ApplyFixture, SocketsCannotBeMade) {
  EXPECT_FALSE(Apply(TarBuilder().Add({.name = "s", .type = TarType('s')})).ok());
  EXPECT_FALSE(Has("s"));
}

}  // namespace
}  // namespace ctrd::archive
