// SPDX-License-Identifier: Apache-2.0

// Calls each method named on standard input ("package.Service/Method", one a line) with an empty
// request and prints its name and the code that it answered: call_all SOCKET NAMESPACE

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

namespace {

// Every kind of call is a stream to the generic client: one empty message, then the answers.
grpc::Status Call(grpc::GenericStub& stub, const std::string& method, const std::string& ns) {
  grpc::ClientContext context;
  context.AddMetadata("containerd-namespace", ns);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto stream = stub.PrepareCall(&context, "/" + method, &queue);
  stream->StartCall(nullptr);
  queue.Next(&tag, &ok);
  if (ok) {
    const grpc::Slice nothing;  // A buffer of no slices at all would not pass as a message.
    stream->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    queue.Next(&tag, &ok);
  }
  for (ok = true; ok;) {
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    queue.Next(&tag, &ok);
  }
  grpc::Status status;
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: call_all SOCKET NAMESPACE < METHODS\n");
    return 2;
  }
  const std::string target = std::string("unix:") + argv[1];
  grpc::GenericStub stub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  for (std::string method; std::getline(std::cin, method);) {
    std::printf("%s %d\n", method.c_str(), Call(stub, method, argv[2]).error_code());
  }
  return 0;
}
