// SPDX-License-Identifier: Apache-2.0
#include "runtime/sandbox/v1/sandbox.pb.h"
#include "runtime/shim/testing/shim_fixture.h"

namespace ctrd::runtime::shim {
namespace {

namespace sandbox = ::containerd::runtime::sandbox::v1;

class ShimSandboxTest : public ShimTest {
 protected:
  template <typename Response, typename Request>
  absl::StatusOr<Response> InSandbox(std::string_view method, Request request,
                                     const std::string& id) {
    request.set_sandbox_id(id);
    return Call<Response>(method, request, "containerd.runtime.sandbox.v1.Sandbox");
  }
  auto CreateSandbox(const std::string& id) {
    sandbox::CreateSandboxRequest request;
    request.set_bundle_path(Bundle(id));
    return InSandbox<sandbox::CreateSandboxResponse>("CreateSandbox", request, id);
  }
  auto Status(const std::string& id) {
    sandbox::SandboxStatusRequest request;
    request.set_verbose(true);
    return InSandbox<sandbox::SandboxStatusResponse>("SandboxStatus", request, id);
  }
};

TEST_F(ShimSandboxTest, ASandboxHoldsItsContainersAndTakesThemWithIt) {
  MakeBundle("sb-pod", "true");
  MakeBundle("sb-run", "sleep 1000");
  MakeBundle("sb-paused", "sleep 1000");
  MakeBundle("sb-created", "sleep 1000");
  StartShim("sb-pod");
  ASSERT_THAT(CreateSandbox("sb-pod"), IsOk());
  EXPECT_THAT(CreateSandbox("sb-pod"), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(auto status, Status("sb-pod"));
  EXPECT_EQ(status.state(), "SANDBOX_NOTREADY");
  ASSERT_OK_AND_ASSIGN(const auto started,
                       InSandbox<sandbox::StartSandboxResponse>(
                           "StartSandbox", sandbox::StartSandboxRequest(), "sb-pod"));
  EXPECT_EQ(started.pid(), shim_pids_["sb-pod"]);
  // Without a container the shim stays, whatever the task service is asked.
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto platform, InSandbox<sandbox::PlatformResponse>(
                                                "Platform", sandbox::PlatformRequest(), "sb-pod"));
  EXPECT_EQ(platform.platform().os(), "linux");
  EXPECT_FALSE(platform.platform().architecture().empty());
  EXPECT_THAT(InSandbox<sandbox::PingResponse>("PingSandbox", sandbox::PingRequest(), "sb-pod"),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const auto metrics,
                       InSandbox<sandbox::SandboxMetricsResponse>(
                           "SandboxMetrics", sandbox::SandboxMetricsRequest(), "sb-pod"));
  EXPECT_EQ(metrics.metrics().id(), "sb-pod");
  EXPECT_FALSE(metrics.metrics().data().value().empty());

  for (const char* id : {"sb-run", "sb-paused", "sb-created"}) ASSERT_THAT(Create(id), IsOk());
  for (const char* id : {"sb-run", "sb-paused"}) ASSERT_THAT(Start(id), IsOk());
  ASSERT_THAT((On<Nothing, task::PauseRequest>("Pause", "sb-paused")), IsOk());
  ASSERT_OK_AND_ASSIGN(status, Status("sb-pod"));
  EXPECT_EQ(status.state(), "SANDBOX_READY");
  EXPECT_EQ(status.pid(), shim_pids_["sb-pod"]);
  EXPECT_THAT(status.info().at("container sb-run"), testing::StartsWith("running pid "));

  sandbox::StopSandboxRequest stop;
  stop.set_timeout_secs(30);
  ASSERT_THAT(InSandbox<sandbox::StopSandboxResponse>("StopSandbox", stop, "sb-pod"), IsOk());
  for (const char* id : {"sb-run", "sb-paused", "sb-created"}) {
    ASSERT_OK_AND_ASSIGN(const auto state, State(id));
    EXPECT_EQ(state.status(), ::containerd::v1::types::STOPPED) << id;
    EXPECT_EQ(state.exit_status(), 137u) << id;
  }
  ASSERT_OK_AND_ASSIGN(const auto waited,
                       InSandbox<sandbox::WaitSandboxResponse>(
                           "WaitSandbox", sandbox::WaitSandboxRequest(), "sb-pod"));
  EXPECT_GT(waited.exited_at().seconds(), 0);
  ASSERT_OK_AND_ASSIGN(status, Status("sb-pod"));
  EXPECT_EQ(status.state(), "SANDBOX_NOTREADY");

  std::promise<void> closed;
  client_->OnClose([&] { closed.set_value(); });
  ASSERT_THAT(InSandbox<sandbox::ShutdownSandboxResponse>(
                  "ShutdownSandbox", sandbox::ShutdownSandboxRequest(), "sb-pod"),
              IsOk());
  EXPECT_EQ(closed.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  for (const char* id : {"sb-run", "sb-paused", "sb-created"}) {
    EXPECT_FALSE(base::Exists(directory_ + "/runc/shimtest/" + id)) << id;
    EXPECT_FALSE(base::Exists(Bundle(id) + "/rootfs/bin")) << id;
  }
}

TEST_F(ShimSandboxTest, WhoWaitsHearsOfTheStop) {
  MakeBundle("sb-wait", "true");
  StartShim("sb-wait");
  ASSERT_THAT(CreateSandbox("sb-wait"), IsOk());
  auto answer = std::make_shared<std::promise<ttrpc::Response>>();
  sandbox::WaitSandboxRequest request;
  request.set_sandbox_id("sb-wait");
  client_->Call(ttrpc::MakeRequest("containerd.runtime.sandbox.v1.Sandbox", "WaitSandbox",
                                   request.SerializeAsString(), "shimtest"),
                Soon(),
                [answer](ttrpc::Response response) { answer->set_value(std::move(response)); });
  ASSERT_THAT(InSandbox<sandbox::ShutdownSandboxResponse>(
                  "ShutdownSandbox", sandbox::ShutdownSandboxRequest(), "sb-wait"),
              IsOk());
  EXPECT_THAT(answer->get_future().get(), IsOk());
}

TEST_F(ShimSandboxTest, AnUnknownSandboxIsNotFound) {
  MakeBundle("sb-none", "true");
  StartShim("sb-none");
  EXPECT_THAT(Status("sb-none"),
              StatusIs(absl::StatusCode::kNotFound, "sandbox sb-none: not found"));
  EXPECT_THAT(InSandbox<sandbox::StopSandboxResponse>("StopSandbox", sandbox::StopSandboxRequest(),
                                                      "sb-none"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Call<Nothing>("Shutdown", task::ShutdownRequest()), IsOk());
}

}  // namespace
}  // namespace ctrd::runtime::shim
