// SPDX-License-Identifier: Apache-2.0

// Calls one method with a request in protobuf's text form from standard input, and prints the
// answer in the same form, or the answers of a stream: call SOCKET NAMESPACE PROTOSET
// package.Service/Method. The variable CALL_LEASE names a lease to call with.
//
// The answer goes to standard output and the exit status is 0; a failure prints its message on
// standard error and the exit status is the gRPC code. 64: the call itself was wrong.
// PROTOSET holds the descriptors of the API (protoc --descriptor_set_out).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/text_format.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

namespace {

namespace pb = google::protobuf;

constexpr int kUsage = 64;
constexpr std::chrono::seconds kDeadline(100);

// Waits for the one operation in flight.
bool Done(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice whole;
  if (!buffer.DumpToSingleSlice(&whole).ok()) return "";
  return std::string(reinterpret_cast<const char*>(whole.begin()), whole.size());
}

// On the wire a unary method is a stream with one answer.
grpc::Status Call(grpc::Channel* channel, const std::string& method, const std::string& ns,
                  const std::string& request, std::vector<std::string>* answers) {
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", ns);
  if (const char* lease = std::getenv("CALL_LEASE")) context.AddMetadata("containerd-lease", lease);
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  context.set_wait_for_ready(true);
  grpc::GenericStub stub(std::shared_ptr<grpc::ChannelInterface>(channel, [](auto*) {}));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/" + method, &queue);
  call->StartCall(nullptr);
  bool ok = Done(queue);
  if (ok) {
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    ok = Done(queue);
  }
  while (ok) {
    grpc::ByteBuffer buffer;
    call->Read(&buffer, nullptr);
    ok = Done(queue);
    if (ok) answers->push_back(BytesOf(buffer));
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  (void)Done(queue);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr,
                 "usage: call SOCKET NAMESPACE PROTOSET package.Service/Method < REQUEST\n");
    return kUsage;
  }
  const std::string method = argv[4];
  std::ifstream protoset(argv[3], std::ios::binary);
  pb::FileDescriptorSet files;
  if (!files.ParseFromIstream(&protoset)) {
    std::fprintf(stderr, "%s: no descriptors\n", argv[3]);
    return kUsage;
  }
  pb::DescriptorPool pool;
  for (const pb::FileDescriptorProto& file : files.file()) {
    (void)pool.BuildFile(file);  // What it lacks shows itself below.
  }
  std::string dotted = method;
  std::replace(dotted.begin(), dotted.end(), '/', '.');
  const pb::MethodDescriptor* descriptor = pool.FindMethodByName(dotted);
  if (descriptor == nullptr || descriptor->client_streaming()) {
    std::fprintf(stderr, "%s: no method with one request\n", method.c_str());
    return kUsage;
  }
  pb::DynamicMessageFactory factory(&pool);
  const std::unique_ptr<pb::Message> request(factory.GetPrototype(descriptor->input_type())->New());
  const std::string text((std::istreambuf_iterator<char>(std::cin)),
                         std::istreambuf_iterator<char>());
  if (!pb::TextFormat::ParseFromString(text, request.get())) {
    return kUsage;
  }
  const auto channel =
      grpc::CreateChannel(std::string("unix:") + argv[1], grpc::InsecureChannelCredentials());
  std::vector<std::string> answers;
  const grpc::Status status =
      Call(channel.get(), method, argv[2], request->SerializeAsString(), &answers);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
    return status.error_code();
  }
  const std::unique_ptr<pb::Message> answer(factory.GetPrototype(descriptor->output_type())->New());
  for (const std::string& bytes : answers) {
    std::string shown;
    if (!answer->ParseFromString(bytes) || !pb::TextFormat::PrintToString(*answer, &shown)) {
      std::fprintf(stderr, "the answer is no %s\n", descriptor->output_type()->full_name().c_str());
      return kUsage;
    }
    std::fputs(shown.c_str(), stdout);
  }
  return 0;
}
