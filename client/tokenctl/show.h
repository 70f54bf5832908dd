#pragma once
// The end that most commands share: an answer written in the chosen form, or a failure reported.

#include <google/protobuf/message.h>

#include <string>

#include "client/tokenctl/command.h"

namespace tokenbroker::tokenctl {

// Writes `message` as JSON, or `text` if the form is table; the exit code.
int Show(const std::string& output, const google::protobuf::Message& message, const std::string& text,
         const Shared& shared);

}  // namespace tokenbroker::tokenctl
