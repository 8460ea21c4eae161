// SPDX-License-Identifier: Apache-2.0
#include "base/filter.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::base {
namespace {

using Object = std::map<std::string, std::string>;

// Fields "name", "kind", …; labels are stored as "labels.<key>".
FieldLookup Fields(const Object& object) {
  return [&object](const FieldPath& path) -> std::optional<std::string> {
    const std::string key =
        path[0] == "labels" ? "labels." + JoinFieldPath(path, 1) : JoinFieldPath(path, 0);
    const auto found = object.find(key);
    if (found == object.end()) return std::nullopt;
    return found->second;
  };
}

bool Matches(const std::vector<std::string>& filters, const Object& object) {
  absl::StatusOr<Filter> filter = Filter::Parse(filters);
  EXPECT_THAT(filter, IsOk());
  return filter.ok() && filter->Matches(Fields(object));
}

struct MatchCase {
  std::string filter;
  Object object;
  bool matches;
};

TEST(FilterTest, SelectorsTestFields) {
  const Object redis{{"name", "docker.io/library/redis:latest"}, {"labels.foo", "bar"}};
  const MatchCase cases[] = {
      {"", redis, true},
      {"name", redis, true},
      {"unknown", redis, false},
      {"unknown==x", redis, false},
      {"unknown!=x", redis, true},
      {"unknown!=\"\"", redis, false},
      {"unknown~=\".*\"", redis, true},
      {"name==docker.io/library/redis:latest", redis, true},
      {"name~=^docker\\.io/", redis, true},
      {"name~=\"^docker\\\\.io/\"", redis, true},
      {"name~=/^docker/", redis, true},
      {"name~=|^docker\\\\.io/|", redis, true},
      {"name~=(", redis, false},
      {"labels.foo!=bar", redis, false},
      {"labels.foo!=bar", {}, true},
      {"labels.foo==bar,name", redis, true},
      {"labels.foo==bar,name==x", redis, false},
      {" name == docker.io/library/redis:latest, labels.foo", redis, true},
      {"a==b==c", {{"a", "b==c"}}, true},
      {"a==\"\\x41\\102\\u00e9\\t\\\"\"", {{"a", "AB\xc3\xa9\t\""}}, true},
      {"topic~=/tasks/", {{"topic", "xtasksx"}}, true},
      {"topic~=\"/tasks/.+\"", {{"topic", "/tasks/exit"}}, true},
      {"kind==committed,parent==\"\"", {{"kind", "committed"}, {"parent", ""}}, true},
      {"labels.\"io.kubernetes.pod.uid\"", {{"labels.io.kubernetes.pod.uid", "1"}}, true},
      {"labels.io.kubernetes.pod.uid", {{"labels.io.kubernetes.pod.uid", "1"}}, true},
      {"labels.\"containerd.io/uncompressed\"==sha256:12",
       {{"labels.containerd.io/uncompressed", "sha256:12"}},
       true},
      {"type==io.containerd.snapshotter.v1,id==overlayfs",
       {{"type", "io.containerd.snapshotter.v1"}, {"id", "overlayfs"}},
       true},
      {"x==\"a\",y==b", {{"x", "a"}, {"y", "b"}}, true},
      {"0a==1", {{"0a", "1"}}, true},
  };
  for (const MatchCase& c : cases) {
    EXPECT_EQ(Matches({c.filter}, c.object), c.matches) << c.filter;
  }
}

TEST(FilterTest, StringsAreAlternatives) {
  EXPECT_TRUE(Matches({}, {}));
  EXPECT_TRUE(Matches({"id==a", "id==b"}, {{"id", "b"}}));
  EXPECT_FALSE(Matches({"id==a", "id==b"}, {{"id", "c"}}));
  EXPECT_TRUE(Matches({"id==a", ""}, {{"id", "c"}}));
}

TEST(FilterTest, OneBadStringFailsAll) {
  EXPECT_THAT(Filter::Parse(std::vector<std::string>{"id==a", "=="}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FilterTest, ErrorsPointAtTheOffendingByte) {
  const std::pair<std::string, std::string> cases[] = {
      {"name==foo,", "[name==foo,]: expected field or quoted"},
      {" ", "[ ]: expected field or quoted"},
      {"labels.", "[labels.]: expected field or quoted"},
      {"labels.?\"x\"==y", "[labels. >|?|< \"x\"==y]: expected field or quoted"},
      {"image~=,id", "[image~= >|,|< id]: expected value or quoted"},
      {"image~=.id", "[image~= >|.|< id]: expected value or quoted"},
      {"image==", "[image==]: expected value or quoted"},
      {"id=l1", "[id >|=|< l1]: unsupported operator \"=\""},
      {"id===!x", "[id >|=|< ==!x]: unsupported operator \"===!\""},
      {"a-b", "[a >|-|< b]: expected an operator (\"==\"|\"!=\"|\"~=\")"},
      {"name , b", "[name  >|,|<  b]: expected an operator (\"==\"|\"!=\"|\"~=\")"},
      {"labels.ns/key==value", "[labels.ns >|/|< key==value]: quoted literal not terminated"},
      {"a==\"b", "[a== >|\"|< b]: quoted literal not terminated"},
      {"labels.|foo|==x", "[labels. >|||< foo|==x]: invalid quote encountered"},
      {"a==/b/", "[a== >|/|< b/]: invalid quote encountered"},
      {"name==i1 ", "[name==i1 >| |< ]: unexpected input:  "},
      {"name==x ,b", "[name==x >| |< ,b]: unexpected input:  "},
      {"a==\"\\q\"", "[a== >|\"|< \\q\"]: illegal escape sequence"},
      {"a==\"\\x4\"", "[a== >|\"|< \\x4\"]: illegal numeric escape sequence"},
      {"a==\"\\777\"", "[a== >|\"|< \\777\"]: unquoting failed: quote syntax error"},
      {std::string("\0a", 2), std::string("[ >|\0|< a]: unexpected null", 27)},
      {"\xff", "[ >|\xff|< ]: rune error"},
  };
  for (const auto& [filter, text] : cases) {
    EXPECT_THAT(Filter::Parse(std::vector<std::string>{filter}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         "filters: parse error: " + text + ": invalid argument"))
        << filter;
  }
}

}  // namespace
}  // namespace ctrd::base
