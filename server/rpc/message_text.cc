#include "server/rpc/message_text.h"

#include <google/protobuf/text_format.h>

#include <memory>
#include <vector>

#include "tokenbroker/v1/annotations.pb.h"

namespace tokenbroker {
namespace {

constexpr int kLongestText = 256;

void Redact(google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->options().GetExtension(v1::secret)) {
      reflection.ClearField(&message, field);
      if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING && !field->is_repeated()) {
        reflection.SetString(&message, field, "[redacted]");
      }
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field->is_repeated()) {
        for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
          Redact(*reflection.MutableRepeatedMessage(&message, field, i));
        }
      } else {
        Redact(*reflection.MutableMessage(&message, field));
      }
    }
  }
}

}  // namespace

std::string MessageText(const google::protobuf::Message& message) {
  const std::unique_ptr<google::protobuf::Message> copy(message.New());
  copy->CopyFrom(message);
  Redact(*copy);
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  // A field that this build does not know may be marked in the build that the caller has.
  printer.SetHideUnknownFields(true);
  printer.SetTruncateStringFieldLongerThan(kLongestText);
  std::string text;
  printer.PrintToString(*copy, &text);
  return text;
}

}  // namespace tokenbroker
