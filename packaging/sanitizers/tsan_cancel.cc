// SPDX-License-Identifier: Apache-2.0

// What a reactor is told of its call's cancellation is counted partly by code of gRPC's headers,
// which ThreadSanitizer sees, and partly by gRPC's library, which it does not. This stands for the
// library's part (the linker's --wrap), and is instrumented. OnCancel runs where the cancellation
// came to be known, not in a thread of the executor.
#include <sanitizer/tsan_interface.h>

#include "grpcpp/impl/codegen/server_callback_handlers.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"

// The handler of generic services is made by the library; the linker takes this one.
template class grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

namespace {

class Counted : public grpc::internal::ServerCallbackCall {
 public:
  using ServerCallbackCall::Ref;
};

}  // namespace

// NOLINTBEGIN: the name is the linker's.
extern "C" void __wrap__ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_13ServerReactorE(
    grpc::internal::ServerCallbackCall* call, grpc::internal::ServerReactor* reactor) {
  // The counts are its only members: what was done before each was counted down, by whomever.
  auto* const words = reinterpret_cast<int*>(call);
  for (size_t i = 0; i < sizeof(*call) / sizeof(int); ++i) __tsan_acquire(words + i);
  if (reactor->InternalInlineable()) return reactor->OnCancel();
  static_cast<Counted*>(call)->Ref();  // It lives until MaybeDone.
  reactor->OnCancel();
  call->MaybeDone(false);
}
// NOLINTEND
