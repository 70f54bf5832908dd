#pragma once
// The version of every binary of this repository: --version and tokenbroker_build_info.

namespace tokenbroker {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace tokenbroker
