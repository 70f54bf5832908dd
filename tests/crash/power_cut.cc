#include "tests/crash/power_cut.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace tokenbroker {
namespace {

// What was written to one file and not synced yet, in the order of writing. Shared by everything that has it open.
struct Unsynced {
  struct Write {
    std::int64_t offset;
    std::vector<char> bytes;
    std::int64_t end() const { return offset + static_cast<std::int64_t>(bytes.size()); }
  };
  std::vector<Write> writes;
  bool late = false;
  std::size_t before_last_sync = 0;  // If late: so many of them are older than the last sync.
};

struct State {
  sqlite3_vfs* real = nullptr;
  Syncs syncs = Syncs::kHonest;
  std::mutex mutex;
  std::map<std::string, Unsynced> files;
};

State& TheState() {
  static auto* const kState = new State();
  return *kState;
}

// SQLite allocates szOsFile bytes for it; the real file lies behind.
struct File {
  sqlite3_file base;
  Unsynced* unsynced;
};

constexpr int kFileSize = (sizeof(File) + 15) / 16 * 16;

sqlite3_file* Real(sqlite3_file* file) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how SQLite's files are laid out.
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + kFileSize);
}
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast)
Unsynced& UnsyncedOf(sqlite3_file* file) { return *reinterpret_cast<File*>(file)->unsynced; }

int Close(sqlite3_file* file) { return Real(file)->pMethods->xClose(Real(file)); }

int Size(sqlite3_file* file, sqlite3_int64* size) {
  const std::lock_guard lock(TheState().mutex);
  const int result = Real(file)->pMethods->xFileSize(Real(file), size);
  for (const Unsynced::Write& write : UnsyncedOf(file).writes) *size = std::max<sqlite3_int64>(*size, write.end());
  return result;
}

int Read(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
  const std::lock_guard lock(TheState().mutex);
  sqlite3_int64 size = 0;
  int result = Real(file)->pMethods->xFileSize(Real(file), &size);
  if (result != SQLITE_OK) return result;
  result = Real(file)->pMethods->xRead(Real(file), out, count, offset);
  if (result != SQLITE_OK && result != SQLITE_IOERR_SHORT_READ) return result;
  for (const Unsynced::Write& write : UnsyncedOf(file).writes) {
    size = std::max<sqlite3_int64>(size, write.end());
    const std::int64_t from = std::max<std::int64_t>(offset, write.offset);
    const std::int64_t to = std::min<std::int64_t>(offset + count, write.end());
    if (from >= to) continue;
    std::memcpy(static_cast<char*>(out) + (from - offset), write.bytes.data() + (from - write.offset),
                static_cast<std::size_t>(to - from));
  }
  return offset + count <= size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* in, int count, sqlite3_int64 offset) {
  const std::lock_guard lock(TheState().mutex);
  const auto* bytes = static_cast<const char*>(in);
  UnsyncedOf(file).writes.push_back({offset, std::vector<char>(bytes, bytes + count)});
  return SQLITE_OK;
}

// The first `count` writes reach the file.
int Keep(sqlite3_file* file, std::size_t count) {
  Unsynced& unsynced = UnsyncedOf(file);
  std::vector<Unsynced::Write>& writes = unsynced.writes;
  for (std::size_t i = 0; i < count; ++i) {
    const Unsynced::Write& write = writes[i];
    const int result = Real(file)->pMethods->xWrite(Real(file), write.bytes.data(),
                                                    static_cast<int>(write.bytes.size()), write.offset);
    if (result != SQLITE_OK) return result;
  }
  writes.erase(writes.begin(), writes.begin() + static_cast<std::ptrdiff_t>(count));
  unsynced.before_last_sync -= std::min(unsynced.before_last_sync, count);
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  const std::lock_guard lock(TheState().mutex);
  const int result = Keep(file, UnsyncedOf(file).writes.size());
  return result == SQLITE_OK ? Real(file)->pMethods->xTruncate(Real(file), size) : result;
}

int Sync(sqlite3_file* file, int flags) {
  const std::lock_guard lock(TheState().mutex);
  Unsynced& unsynced = UnsyncedOf(file);
  const int result = Keep(file, unsynced.late ? unsynced.before_last_sync : unsynced.writes.size());
  unsynced.before_last_sync = unsynced.writes.size();
  return result == SQLITE_OK ? Real(file)->pMethods->xSync(Real(file), flags) : result;
}

int Lock(sqlite3_file* file, int level) { return Real(file)->pMethods->xLock(Real(file), level); }
int Unlock(sqlite3_file* file, int level) { return Real(file)->pMethods->xUnlock(Real(file), level); }
int CheckReservedLock(sqlite3_file* file, int* out) {
  return Real(file)->pMethods->xCheckReservedLock(Real(file), out);
}
int Control(sqlite3_file* file, int operation, void* argument) {
  return Real(file)->pMethods->xFileControl(Real(file), operation, argument);
}
int SectorSize(sqlite3_file* file) { return Real(file)->pMethods->xSectorSize(Real(file)); }
int Characteristics(sqlite3_file* file) { return Real(file)->pMethods->xDeviceCharacteristics(Real(file)); }
int ShmMap(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return Real(file)->pMethods->xShmMap(Real(file), page, size, extend, out);
}
int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  return Real(file)->pMethods->xShmLock(Real(file), offset, count, flags);
}
void ShmBarrier(sqlite3_file* file) { Real(file)->pMethods->xShmBarrier(Real(file)); }
int ShmUnmap(sqlite3_file* file, int remove) { return Real(file)->pMethods->xShmUnmap(Real(file), remove); }

// Version 2: without xFetch, which would read past us.
const sqlite3_io_methods kMethods = {2,
                                     Close,
                                     Read,
                                     Write,
                                     Truncate,
                                     Sync,
                                     Size,
                                     Lock,
                                     Unlock,
                                     CheckReservedLock,
                                     Control,
                                     SectorSize,
                                     Characteristics,
                                     ShmMap,
                                     ShmLock,
                                     ShmBarrier,
                                     ShmUnmap,
                                     nullptr,
                                     nullptr};

int Open(sqlite3_vfs* /*vfs*/, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  State& state = TheState();
  const int result = state.real->xOpen(state.real, name, Real(file), flags, out_flags);
  file->pMethods = nullptr;
  if (Real(file)->pMethods == nullptr) return result;
  const std::lock_guard lock(state.mutex);
  // A file without a name is temporary: its own, and gone when it is closed.
  static std::uint64_t temporary = 0;
  const std::string key = name != nullptr ? name : "temporary " + std::to_string(++temporary);
  Unsynced& unsynced = state.files[key];
  unsynced.late = state.syncs == Syncs::kLate && (flags & SQLITE_OPEN_WAL) != 0;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast)
  reinterpret_cast<File*>(file)->unsynced = &unsynced;
  file->pMethods = &kMethods;
  return result;
}

int Delete(sqlite3_vfs* /*vfs*/, const char* name, int sync) {
  State& state = TheState();
  const std::lock_guard lock(state.mutex);
  if (const auto found = state.files.find(name); found != state.files.end()) found->second = Unsynced();
  return state.real->xDelete(state.real, name, sync);
}

}  // namespace

void LosePowerAtKill(Syncs syncs) {
  State& state = TheState();
  state.syncs = syncs;
  state.real = sqlite3_vfs_find(nullptr);
  static sqlite3_vfs vfs = *state.real;
  vfs.zName = "power-cut";
  vfs.szOsFile = kFileSize + state.real->szOsFile;
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  if (sqlite3_vfs_register(&vfs, /*makeDflt=*/1) != SQLITE_OK) {
    std::fprintf(stderr, "crashing_broker: SQLite does not take another VFS\n");
    std::abort();
  }
}

}  // namespace tokenbroker
