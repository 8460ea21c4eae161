// SPDX-License-Identifier: Apache-2.0

// Creates and deletes image records from many threads for some seconds and prints the rate of
// changes: metadata_load SOCKET NAMESPACE THREADS SECONDS

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "services/images/v1/images.grpc.pb.h"

namespace {

namespace api = containerd::services::images::v1;
using Clock = std::chrono::steady_clock;

std::atomic<uint64_t> changes{0};
std::atomic<bool> failed{false};

bool Check(const grpc::Status& status, const char* call) {
  if (status.ok()) return true;
  if (!failed.exchange(true))
    std::fprintf(stderr, "%s: %s\n", call, status.error_message().c_str());
  return false;
}

// One client: a connection of its own, a record made and removed over and over.
void Load(const std::string& socket, const std::string& ns, int number, Clock::time_point end) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto images = api::Images::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  const std::string name = "local.test/load-" + std::to_string(number) + ":1";
  while (Clock::now() < end && !failed) {
    api::CreateImageRequest create;
    create.mutable_image()->set_name(name);
    auto* target = create.mutable_image()->mutable_target();
    target->set_media_type("application/vnd.oci.image.manifest.v1+json");
    target->set_digest("sha256:" + std::string(64, '0'));
    target->set_size(1);
    api::CreateImageResponse created;
    grpc::ClientContext create_context;
    create_context.AddMetadata("containerd-namespace", ns);
    if (!Check(images->Create(&create_context, create, &created), "Images.Create")) return;

    api::DeleteImageRequest remove;
    remove.set_name(name);
    google::protobuf::Empty removed;
    grpc::ClientContext remove_context;
    remove_context.AddMetadata("containerd-namespace", ns);
    if (!Check(images->Delete(&remove_context, remove, &removed), "Images.Delete")) return;
    changes += 2;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: metadata_load SOCKET NAMESPACE THREADS SECONDS\n");
    return 2;
  }
  const auto started = Clock::now();
  const auto end = started + std::chrono::seconds(std::atoi(argv[4]));
  std::vector<std::thread> threads;
  for (int number = 0; number < std::atoi(argv[3]); ++number) {
    threads.emplace_back(Load, argv[1], argv[2], number, end);
  }
  for (auto& thread : threads) thread.join();
  const std::chrono::duration<double> taken = Clock::now() - started;
  std::printf("%.1f\n", static_cast<double>(changes) / taken.count());
  return failed ? 1 : 0;
}
