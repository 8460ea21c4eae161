// SPDX-License-Identifier: Apache-2.0

// JoinedCalls lets a call that is made again while it runs join the one that runs, instead of doing
// its work twice or failing for want of its state: a client that lost its patience, or its daemon,
// asks again and hears how the first try ends. Only calls that are the same byte for byte are one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/ttrpc/server.h"

namespace ctrd::runtime::shim {

using Reply = std::function<void(ttrpc::Response)>;

class JoinedCalls {
 public:
  // The reply to end the call with, which answers all that joined; or nullptr: the call runs
  // already, and `responder` will be answered with it.
  Reply Begin(const std::string& key, ttrpc::Responder responder) {
    const auto [call, is_first] = waiting_.try_emplace(key);
    call->second.push_back(std::move(responder));
    if (!is_first) return nullptr;
    return [this, key](ttrpc::Response response) {
      // Out of the table first: an answer may begin the next call.
      const auto ended = waiting_.extract(key);
      if (ended.empty()) return;
      for (const ttrpc::Responder& waiting : ended.mapped()) waiting.Reply(response);
    };
  }

 private:
  std::map<std::string, std::vector<ttrpc::Responder>, std::less<>> waiting_;
};

}  // namespace ctrd::runtime::shim
