#include "client/credential_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/pem.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxFileSize = std::size_t{1} << 20;

// One of the files; `what` is its name in sentences, `option` in CredentialPaths.
struct File {
  const char* what;
  const char* option;
  const std::string& path;
};

absl::Status Unreadable(const File& file, const std::string& why) {
  return Error(absl::StatusCode::kFailedPrecondition, "CLIENT_FILE_UNREADABLE",
               std::string("cannot read the ") + file.what + " file " + file.path + ": " + why)
      .Meta("option", file.option);
}

absl::Status Invalid(const File& file, const std::string& why) {
  return Error(absl::StatusCode::kFailedPrecondition, "CLIENT_FILE_INVALID",
               std::string("the ") + file.what + " file " + file.path + " " + why)
      .Meta("option", file.option);
}

// By read(2) into one buffer, so that no other buffer of ours holds a key.
absl::StatusOr<std::string> ReadFile(const File& file) {
  if (file.path.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "CLIENT_OPTION_INVALID",
                 std::string("no ") + file.what + " file is named")
        .Meta("option", file.option);
  }
  const int descriptor = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return Unreadable(file, std::strerror(errno));
  struct stat info = {};
  std::string text;
  std::string failure;
  if (fstat(descriptor, &info) != 0) {
    failure = std::strerror(errno);
  } else if (!S_ISREG(info.st_mode)) {
    failure = "it is not a regular file";
  } else {
    text.resize(kMaxFileSize + 1);
    std::size_t size = 0;
    while (size < text.size()) {
      const ssize_t got = read(descriptor, text.data() + size, text.size() - size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) failure = std::strerror(errno);
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    if (size > kMaxFileSize) failure = "it is larger than 1 MiB";
    text.resize(size);
  }
  close(descriptor);
  if (failure.empty()) return text;
  Wipe(text);
  return Unreadable(file, failure);
}

// Every certificate, so that none of a file that is just being written is left out without a word.
absl::StatusOr<std::vector<X509Handle>> ParseCertificates(const File& file, std::string_view pem) {
  absl::StatusOr<std::vector<X509Handle>> all = ParsePemCertificates(pem);
  if (all.ok()) return all;
  return Invalid(file, "holds no PEM certificate, or a damaged one (" + std::string(all.status().message()) + ")");
}

}  // namespace

bool Credentials::SameAs(const Credentials& other) const {
  return ca_pem == other.ca_pem && certificate_pem == other.certificate_pem &&
         key_pem.Reveal() == other.key_pem.Reveal() && bearer.Reveal() == other.bearer.Reveal();
}

namespace {

absl::Status NotAPair(const KeyPairFault& fault, const File& certificate, const File& key) {
  switch (fault.kind) {
    case KeyPairFault::Kind::kNotFirst:
      return Invalid(certificate, "must begin with the client's own certificate; it is number " +
                                      std::to_string(fault.number) + " (the one with the key in " + key.path + ")");
    case KeyPairFault::Kind::kMismatch:
      return Invalid(key, "does not belong to the certificate in " + certificate.path);
    case KeyPairFault::Kind::kCertificate:
      return Invalid(certificate, "cannot be used as a client's certificate (" + fault.cause + ")");
    case KeyPairFault::Kind::kKey:
      break;
  }
  return Invalid(key, "cannot be used as a client's key (" + fault.cause + ")");
}

absl::Status ReadCertificate(const CredentialPaths& paths, Credentials& read) {
  const File certificate_file{"certificate", "certificate_file", paths.certificate_file};
  const File key_file{"key", "key_file", paths.key_file};
  absl::StatusOr<std::string> chain = ReadFile(certificate_file);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key_text = ReadFile(key_file);
  if (!key_text.ok()) return key_text.status();
  read.certificate_pem = *std::move(chain);
  read.key_pem = Secret::TakeFrom(*key_text);

  const absl::StatusOr<std::vector<X509Handle>> certificates =
      ParseCertificates(certificate_file, read.certificate_pem);
  if (!certificates.ok()) return certificates.status();
  const absl::StatusOr<PrivateKeyHandle> key = ParsePemKey(read.key_pem.Reveal());
  if (!key.ok()) {
    return Invalid(key_file, "holds no PEM key that can be read without a passphrase (" +
                                 std::string(key.status().message()) + ")");
  }
  const std::optional<KeyPairFault> fault = FindKeyPairFault(*certificates, key->get());
  if (fault.has_value()) return NotAPair(*fault, certificate_file, key_file);
  read.not_after = EndOf(certificates->front().get());
  return absl::OkStatus();
}

// Visible ASCII: more than RFC 6750 allows in the header, and nothing that could break it.
bool IsBearer(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char each) { return each > ' ' && each < 0x7f; });
}

absl::Status ReadBearer(const CredentialPaths& paths, Credentials& read) {
  const File file{"bearer token", "bearer_file", paths.bearer_file};
  absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  if (text->ends_with('\n')) text->pop_back();
  if (text->ends_with('\r')) text->pop_back();
  const bool is_one = IsBearer(*text);
  read.bearer = Secret::TakeFrom(*text);
  return is_one ? absl::OkStatus() : Invalid(file, "must hold one line of printable characters without blanks");
}

}  // namespace

absl::StatusOr<Credentials> ReadCredentials(const CredentialPaths& paths) {
  const File ca_file{"CA", "ca_file", paths.ca_file};
  absl::StatusOr<std::string> ca = ReadFile(ca_file);
  if (!ca.ok()) return ca.status();
  Credentials read;
  read.ca_pem = *std::move(ca);

  const bool has_bearer = !paths.bearer_file.empty();
  absl::Status done;
  if (!has_bearer || !paths.certificate_file.empty() || !paths.key_file.empty()) done = ReadCertificate(paths, read);
  if (done.ok() && has_bearer) done = ReadBearer(paths, read);
  if (!done.ok()) return done;
  const absl::Status authorities = ParseCertificates(ca_file, read.ca_pem).status();
  if (!authorities.ok()) return authorities;
  return read;
}

}  // namespace tokenbroker
