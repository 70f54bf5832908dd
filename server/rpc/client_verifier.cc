#include "server/rpc/client_verifier.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <iterator>
#include <map>
#include <utility>

namespace tokenbroker {
namespace {

using Store = std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>>;
using Context = std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>>;
using Chain = std::vector<X509Handle>;

// A view of certificates that others own.
struct FreeView {
  void operator()(STACK_OF(X509) * view) const { sk_X509_free(view); }
};
using Stack = std::unique_ptr<STACK_OF(X509), FreeView>;

Store StoreOf(const Chain& authorities) {
  Store store(X509_STORE_new());
  for (const X509Handle& each : authorities) X509_STORE_add_cert(store.get(), each.get());
  ERR_clear_error();
  return store;
}

bool IsRevokedBy(X509_CRL* crl, X509* certificate, X509* issuer) {
  if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(certificate)) != 0) return false;
  if (X509_CRL_verify(crl, X509_get0_pubkey(issuer)) != 1) return false;
  X509_REVOKED* entry = nullptr;
  // 2 would be "remove from CRL": the end of a hold.
  return X509_CRL_get0_by_cert(crl, &entry, certificate) == 1;
}

}  // namespace

struct ClientAuthorities::State {
  // Whether the certificate's chain ends at an authority of `store`; then `*revoked` says what the lists say of it.
  bool Vouches(const Store& store, const Chain& peer, bool* revoked) const {
    const Context context(X509_STORE_CTX_new());
    const Stack untrusted(sk_X509_new_null());
    for (const X509Handle& each : peer) sk_X509_push(untrusted.get(), each.get());
    if (context == nullptr ||
        X509_STORE_CTX_init(context.get(), store.get(), peer.front().get(), untrusted.get()) != 1) {
      return false;
    }
    X509_STORE_CTX_set_default(context.get(), "ssl_client");
    if (X509_verify_cert(context.get()) != 1) return false;
    STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
    for (int i = 0; i + 1 < sk_X509_num(chain); ++i) {
      for (const X509CrlHandle& each : crls) {
        if (IsRevokedBy(each.get(), sk_X509_value(chain, i), sk_X509_value(chain, i + 1))) *revoked = true;
      }
    }
    return true;
  }

  Store of_client_ca;
  std::map<std::string, Store, std::less<>> of_domains;
  std::vector<X509CrlHandle> crls;
};

ClientAuthorities::ClientAuthorities(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ClientAuthorities::~ClientAuthorities() = default;

absl::StatusOr<std::shared_ptr<const ClientAuthorities>> ClientAuthorities::Parse(const ServerTlsPaths& paths,
                                                                                  const ServerTlsTexts& texts) {
  auto state = std::make_unique<State>();
  const absl::StatusOr<Chain> client_ca = ParseAuthorities(paths.client_ca_file, texts.client_ca_pem);
  if (!client_ca.ok()) return client_ca.status();
  state->of_client_ca = StoreOf(*client_ca);
  for (std::size_t i = 0; i < paths.trust_domains.size(); ++i) {
    const TrustDomainFile& domain = paths.trust_domains[i];
    const absl::StatusOr<Chain> authorities = ParseAuthorities(domain.ca_file, texts.trust_domain_pems[i]);
    if (!authorities.ok()) return authorities.status();
    state->of_domains.emplace(domain.name, StoreOf(*authorities));
  }
  if (!paths.client_crl_file.empty()) {
    absl::StatusOr<std::vector<X509CrlHandle>> crls = ParseCrls(paths.client_crl_file, texts.client_crl_pem);
    if (!crls.ok()) return crls.status();
    state->crls = *std::move(crls);
  }
  return std::shared_ptr<const ClientAuthorities>(new ClientAuthorities(std::move(state)));
}

ClientVerdict ClientAuthorities::Verify(const std::string& leaf_pem, const std::string& chain_pem,
                                        std::string_view trust_domain) const {
  ClientVerdict verdict;
  absl::StatusOr<Chain> peer = ParseCertificates("the client's certificate", leaf_pem, "a certificate");
  if (!peer.ok()) return verdict;
  if (!chain_pem.empty()) {
    absl::StatusOr<Chain> more = ParseCertificates("the client's chain", chain_pem, "certificates");
    if (more.ok()) std::move(more->begin(), more->end(), std::back_inserter(*peer));
  }
  verdict.dns_vouched = state_->Vouches(state_->of_client_ca, *peer, &verdict.revoked);
  verdict.spiffe_vouched = verdict.dns_vouched;
  // Without trust domains in the configuration, the client authorities vouch for all of them.
  if (!state_->of_domains.empty()) {
    const auto domain = state_->of_domains.find(trust_domain);
    verdict.spiffe_vouched =
        domain != state_->of_domains.end() && state_->Vouches(domain->second, *peer, &verdict.revoked);
  }
  ERR_clear_error();  // gRPC's TLS on this thread reads the same queue.
  return verdict;
}

void ClientVerifier::Use(std::shared_ptr<const ClientAuthorities> authorities) {
  const std::lock_guard lock(mutex_);
  authorities_ = std::move(authorities);
  ++version_;
}

const ClientVerifier::Known* ClientVerifier::Find(const std::string& leaf_pem) const {
  for (const Generation* const each : {&newer_, &older_}) {
    const auto found = each->find(leaf_pem);
    if (found != each->end()) return &found->second;
  }
  return nullptr;
}

void ClientVerifier::Remember(const std::string& leaf_pem, Known known) {
  constexpr std::size_t kMost = 4096;  // A few KiB each.
  if (newer_.size() >= kMost) older_ = std::exchange(newer_, {});
  newer_.insert_or_assign(leaf_pem, std::move(known));
}

ClientVerdict ClientVerifier::Verify(const std::string& leaf_pem, const std::string& chain_pem,
                                     std::string_view trust_domain) {
  std::shared_ptr<const ClientAuthorities> authorities;
  Known fresh;
  {
    const std::lock_guard lock(mutex_);
    const Known* const known = Find(leaf_pem);
    const bool has_chain = known != nullptr && (chain_pem.empty() || chain_pem == known->chain_pem);
    if (has_chain && known->version == version_) {
      const ClientVerdict verdict = known->verdict;
      if (!newer_.contains(leaf_pem)) Remember(leaf_pem, Known(*known));
      return verdict;
    }
    authorities = authorities_;
    fresh.version = version_;
    fresh.chain_pem = has_chain ? known->chain_pem : chain_pem;
  }
  if (authorities == nullptr) return {};
  fresh.verdict = authorities->Verify(leaf_pem, fresh.chain_pem, trust_domain);
  const ClientVerdict verdict = fresh.verdict;
  const std::lock_guard lock(mutex_);
  Remember(leaf_pem, std::move(fresh));
  return verdict;
}

}  // namespace tokenbroker
