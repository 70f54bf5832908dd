#pragma once
// Makes of every SIGKILL a power cut: what SQLite has written but not synced stays in this process's memory, and dies
// with it.

namespace tokenbroker {

// kLate: a sync of the log keeps only what was written before the sync before it, as if a commit were answered before
// it is on the disk.
enum class Syncs { kHonest, kLate };

// For every database that this process opens from here on. Once, before the first.
void LosePowerAtKill(Syncs syncs);

}  // namespace tokenbroker
