#pragma once
// Testonly: a disk in memory for SQLite, with the failings of a real one. A killed process loses its connections, and
// keeps what the kernel had taken; a power cut also loses what was written and not synced. So a test can ask what a
// commit was worth, thousands of times a second.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace tokenbroker {

// Thread-safe, as SQLite wants its file systems. Registered with SQLite as long as it lives; every connection that uses
// it must be closed before.
class MemoryDisk {
 public:
  struct File;
  struct Handle;
  struct Vfs;

  enum class Fault {
    kNone,
    kFull,         // Nothing more can be written: SQLITE_FULL.
    kReadOnly,     // The kernel has remounted it so: writes fail with SQLITE_IOERR_WRITE, reads go on.
    kBroken,       // Every write and every sync fails; what was handed over may or may not have arrived: it has not.
    kAnswersLost,  // Syncs work, and report failure all the same: a COMMIT whose end is not known.
    kSyncsLie,     // Syncs do nothing, and report success.
  };

  MemoryDisk();
  ~MemoryDisk();
  MemoryDisk(const MemoryDisk&) = delete;
  MemoryDisk& operator=(const MemoryDisk&) = delete;

  // The name to open databases with.
  const std::string& vfs() const { return name_; }

  // From now on.
  void set_fault(Fault fault);

  // Connections that are open now fail for ever, with whatever they try; those opened afterwards find what was written.
  void KillConnections();
  // The same, but of what was written since a file's last sync only that is found which `survives` says yes to, asked
  // once for each write: disks keep what they like of it.
  void CutPower(const std::function<bool()>& survives);

  // Takes over the files of `other`, which nobody has open.
  void CopyFrom(const MemoryDisk& other);

  // Overwrites one page of 4096 bytes, counted from 0, with garbage, on disk and in no cache.
  void DamagePage(const std::string& path, int page);

  std::int64_t syncs() const { return syncs_; }

 private:
  friend struct Handle;
  friend struct Vfs;

  std::string name_;
  std::unique_ptr<Vfs> vfs_;
  mutable std::mutex mutex_;
  Fault fault_ = Fault::kNone;
  std::int64_t generation_ = 0;  // Handles of an older one are dead.
  std::int64_t syncs_ = 0;
  std::map<std::string, std::shared_ptr<File>> files_;
};

}  // namespace tokenbroker
