// SPDX-License-Identifier: Apache-2.0
#include "daemon/plugin/registry.h"

#include "base/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace ctrd::plugin {
namespace {

struct Animal {
  virtual ~Animal() = default;
  virtual std::string name() const = 0;
};
struct Dog : Animal {
  explicit Dog(std::vector<std::string>* log) : log(log) { log->push_back("+dog"); }
  ~Dog() override { log->push_back("-dog"); }
  std::string name() const override { return "dog"; }
  std::vector<std::string>* log;
};
struct Owner {
  explicit Owner(std::vector<std::string>* log) : log(log) { log->push_back("+owner"); }
  ~Owner() { log->push_back("-owner"); }
  std::vector<std::string>* log;
};

Registration DogPlugin(std::vector<std::string>* log) {
  return {.type = "t.animal",
          .id = "dog",
          .requirements = {},
          .schema = {},
          .init = [log](InitContext&) -> absl::StatusOr<Instance> {
            return Instance::Of<Animal>(std::make_unique<Dog>(log));
          }};
}

Registration OwnerPlugin(std::vector<std::string>* log) {
  return {.type = "t.owner",
          .id = "anna",
          .requirements = {"t.animal"},
          .schema = {},
          .init = [log](InitContext& init) -> absl::StatusOr<Instance> {
            ASSIGN_OR_RETURN(Animal * dog, init.registry.Get<Animal>("t.animal", "dog"));
            EXPECT_EQ(dog->name(), "dog");
            return Instance::Of<Owner>(std::make_unique<Owner>(log));
          }};
}

TEST(Registry, StartsAfterRequirementsAndDestroysInReverse) {
  std::vector<std::string> log;
  {
    Registry registry;
    registry.Add(OwnerPlugin(&log));
    registry.Add(DogPlugin(&log));
    ASSERT_THAT(registry.Start(config::Config()), base::IsOk());
    EXPECT_EQ(registry.Find<Owner>("t.animal", "dog"), nullptr) << "another interface";
    EXPECT_EQ(registry.FindAll<Animal>("t.animal").size(), 1u);
  }
  EXPECT_THAT(log, testing::ElementsAre("+dog", "+owner", "-owner", "-dog"));
}

TEST(Registry, KeepsTheStatusOfAFailedInit) {
  std::vector<std::string> log;
  Registry registry;
  registry.Add(OwnerPlugin(&log));
  config::Config config;
  ASSERT_THAT(registry.Start(config), base::IsOk());
  ASSERT_EQ(registry.records().size(), 1u);
  EXPECT_THAT(registry.records()[0]->status, base::StatusIs(absl::StatusCode::kNotFound));
}

TEST(Registry, LeavesOutDisabledPluginsAndRefusesWithoutRequiredOnes) {
  std::vector<std::string> log;
  Registry registry;
  registry.Add(DogPlugin(&log));
  registry.Add(OwnerPlugin(&log));
  config::Config config;
  config.disabled_plugins = {"t.animal.dog"};
  config.required_plugins = {"t.owner.anna"};
  EXPECT_THAT(registry.Start(config),
              base::StatusIs(absl::StatusCode::kFailedPrecondition,
                             testing::StartsWith("load required plugin t.owner.anna: ")));
  EXPECT_EQ(registry.records().size(), 1u);
}

TEST(Registry, RefusesToStartWhenARequiredPluginIsUnknown) {
  Registry registry;
  config::Config config;
  config.required_plugins = {"t.a.b", "t.c.d"};
  EXPECT_THAT(registry.Start(config), base::StatusIs(absl::StatusCode::kFailedPrecondition,
                                                     "required plugin [t.a.b t.c.d] not included"));
}

}  // namespace
}  // namespace ctrd::plugin
