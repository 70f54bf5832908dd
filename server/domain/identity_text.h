#pragma once
// The syntax of identities, as certificates and policies spell them.

#include <string_view>

namespace tokenbroker {

// 1 to 255 characters of [a-z0-9._-].
bool IsTrustDomain(std::string_view text);

// "spiffe://trust.domain/path", as the SPIFFE standard has it: at most 2048 bytes; a trust domain; a path of one or
// more segments of [A-Za-z0-9._-], none of them "." or "..". An id of a trust domain alone names no workload and is
// refused.
bool IsSpiffeId(std::string_view text);

// A host name in lower case: labels of 1 to 63 characters of [a-z0-9-] that neither begin nor end with '-', at most
// 253 bytes, no dot at the end, no wildcard.
bool IsDnsName(std::string_view text);

}  // namespace tokenbroker
