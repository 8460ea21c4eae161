// SPDX-License-Identifier: Apache-2.0
#include "daemon/services/events_service.h"

#include <memory>

#include "absl/time/clock.h"
#include "base/testing/status_matchers.h"
#include "base/time.h"
#include "daemon/services/event_payload.h"
#include "events/container.pb.h"
#include "events/task.pb.h"
#include "grpcpp/grpcpp.h"

namespace ctrd::services {
namespace {

using containerd::types::Envelope;

class EventsServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = events_v1::Events::NewStub(server_->InProcessChannel({}));
  }
  void TearDown() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Publish(const std::string& topic, const std::string& name = "default") {
    grpc::ClientContext context;
    if (!name.empty()) context.AddMetadata("containerd-namespace", name);
    events_v1::PublishRequest request;
    request.set_topic(topic);
    containerd::events::TaskExit exit;
    exit.set_container_id("c1");
    request.mutable_event()->set_type_url("containerd.events.TaskExit");
    request.mutable_event()->set_value(exit.SerializeAsString());
    google::protobuf::Empty response;
    return stub_->Publish(&context, request, &response);
  }

  events::Exchange exchange_;
  EventsService service_{exchange_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<events_v1::Events::Stub> stub_;
};

TEST_F(EventsServiceTest, SubscriberGetsItsEventsInOrderAndTheCancelEndsTheStream) {
  grpc::ClientContext context;
  events_v1::SubscribeRequest request;
  request.add_filters("namespace==default,topic~=|^/tasks/|,event.container_id==c1");
  auto stream = stub_->Subscribe(&context, request);
  stream->WaitForInitialMetadata();
  EXPECT_TRUE(Publish("/tasks/one").ok());
  EXPECT_TRUE(Publish("/images/no").ok());
  EXPECT_TRUE(Publish("/tasks/other", "elsewhere").ok());
  EXPECT_TRUE(Publish("/tasks/two").ok());
  Envelope envelope;
  ASSERT_TRUE(stream->Read(&envelope));
  EXPECT_EQ(envelope.topic(), "/tasks/one");
  EXPECT_EQ(envelope.namespace_(), "default");
  EXPECT_EQ(envelope.event().type_url(), "containerd.events.TaskExit");
  ASSERT_TRUE(stream->Read(&envelope));
  EXPECT_EQ(envelope.topic(), "/tasks/two");
  context.TryCancel();
  EXPECT_FALSE(stream->Read(&envelope));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(EventsServiceTest, ManyEventsReachTheSubscriber) {
  grpc::ClientContext context;
  auto stream = stub_->Subscribe(&context, {});
  stream->WaitForInitialMetadata();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_THAT(exchange_.Publish({.timestamp = absl::Now(),
                                   .namespace_name = "default",
                                   .topic = fmt::format("/n/{}", i)}),
                base::IsOk());
  }
  Envelope envelope;
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(stream->Read(&envelope));
    ASSERT_EQ(envelope.topic(), fmt::format("/n/{}", i));
  }
  context.TryCancel();
}

TEST_F(EventsServiceTest, BadFilterFailsTheStream) {
  grpc::ClientContext context;
  events_v1::SubscribeRequest request;
  request.add_filters("topic===x");
  auto stream = stub_->Subscribe(&context, request);
  Envelope envelope;
  EXPECT_FALSE(stream->Read(&envelope));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(),
            "subscription error: failed parsing subscription filters: filters: parse error: "
            "[topic >|=|< ==x]: unsupported operator \"===\": invalid argument");
}

TEST_F(EventsServiceTest, PublishNeedsANamespaceAndForwardDoesNot) {
  const grpc::Status status = Publish("/a", "");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "failed publishing event: namespace is required: failed precondition");

  grpc::ClientContext context;
  events_v1::ForwardRequest request;
  request.mutable_envelope()->set_namespace_("default");
  request.mutable_envelope()->set_topic("/a");
  google::protobuf::Empty response;
  EXPECT_TRUE(stub_->Forward(&context, request, &response).ok());
}

TEST(EventPayloadTest, FindsStringsBooleansAndLabels) {
  containerd::events::TaskCreate create;
  create.set_container_id("c1");
  create.set_pid(7);
  create.mutable_io()->set_stdout("/fifo");
  const base::Any any{.type_url = "containerd.events.TaskCreate",
                      .value = create.SerializeAsString()};
  EXPECT_EQ(EventPayloadField(any, {"container_id"}), "c1");
  EXPECT_EQ(EventPayloadField(any, {"io", "stdout"}), "/fifo");
  EXPECT_EQ(EventPayloadField(any, {"io", "stdin"}), std::nullopt);
  EXPECT_EQ(EventPayloadField(any, {"io", "terminal"}), "false");
  EXPECT_EQ(EventPayloadField(any, {"pid"}), std::nullopt);
  EXPECT_EQ(EventPayloadField(any, {"rootfs"}), std::nullopt);

  containerd::events::ContainerUpdate update;
  (*update.mutable_labels())["a.b/c"] = "x";
  const base::Any labels{.type_url = "containerd.events.ContainerUpdate",
                         .value = update.SerializeAsString()};
  EXPECT_EQ(EventPayloadField(labels, {"labels", "a.b/c"}), "x");
  EXPECT_EQ(EventPayloadField(labels, {"labels", "a", "b/c"}), "x");
  EXPECT_EQ(EventPayloadField(labels, {"labels", "no"}), std::nullopt);
  EXPECT_EQ(EventPayloadField({.type_url = "x.Y"}, {"id"}), std::nullopt);
}

}  // namespace
}  // namespace ctrd::services
