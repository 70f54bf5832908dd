#pragma once
// Messages as texts for the log. Whatever prints a message goes through here: fields marked (tokenbroker.v1.secret)
// show that they are there, never their value. Protobuf's own DebugString does not know the mark.

#include <google/protobuf/message.h>

#include <string>

namespace tokenbroker {

// One line; long texts are cut.
std::string MessageText(const google::protobuf::Message& message);

}  // namespace tokenbroker
