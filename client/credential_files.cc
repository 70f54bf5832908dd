#include "client/credential_files.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "server/base/error.h"

namespace tokenbroker {
namespace {

constexpr std::size_t kMaxFileSize = std::size_t{1} << 20;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* what) const {
    kFree(what);
  }
};
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

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

Memory View(std::string_view text) { return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

Certificate FirstCertificate(std::string_view pem) {
  const Memory memory = View(pem);
  Certificate found(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return found;
}

// OpenSSL would ask the terminal for a passphrase.
int NoPassphrase(char*, int, int, void*) { return 0; }

Key ReadKey(const Secret& pem) {
  const Memory memory = View(pem.Reveal());
  Key found(PEM_read_bio_PrivateKey(memory.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  return found;
}

WallTime EndOf(X509* certificate) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return WallTime::min();
  return WallTime(seconds(timegm(&parts)));
}

}  // namespace

bool Credentials::SameAs(const Credentials& other) const {
  return ca_pem == other.ca_pem && certificate_pem == other.certificate_pem &&
         key_pem.Reveal() == other.key_pem.Reveal() && bearer.Reveal() == other.bearer.Reveal();
}

namespace {

absl::Status ReadCertificate(const CredentialPaths& paths, Credentials& read) {
  const File certificate_file{"certificate", "certificate_file", paths.certificate_file};
  const File key_file{"key", "key_file", paths.key_file};
  absl::StatusOr<std::string> chain = ReadFile(certificate_file);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key_text = ReadFile(key_file);
  if (!key_text.ok()) return key_text.status();
  read.certificate_pem = *std::move(chain);
  read.key_pem = Secret::TakeFrom(*key_text);

  const Certificate own = FirstCertificate(read.certificate_pem);
  if (own == nullptr) return Invalid(certificate_file, "holds no PEM certificate");
  const Key key = ReadKey(read.key_pem);
  if (key == nullptr) return Invalid(key_file, "holds no PEM key that can be read without a passphrase");
  const bool fits = X509_check_private_key(own.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) return Invalid(key_file, "does not belong to the certificate in " + paths.certificate_file);
  read.not_after = EndOf(own.get());
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
  if (FirstCertificate(read.ca_pem) == nullptr) return Invalid(ca_file, "holds no PEM certificate");
  return read;
}

}  // namespace tokenbroker
