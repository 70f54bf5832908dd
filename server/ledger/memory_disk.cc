#include "server/ledger/memory_disk.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "server/ledger/sqlite_db.h"

namespace tokenbroker {
namespace {

// What SQLite maps of the log's index at a time.
constexpr std::size_t kRegion = 32'768;

// What a write or a truncation took away: enough to undo it.
struct Overwritten {
  std::size_t offset;
  std::size_t end;       // Of what was written; the new size if it was a truncation.
  std::size_t old_size;  // Of the file.
  std::string bytes;     // What lay from offset on.
};

}  // namespace

struct MemoryDisk::File {
  std::string content;  // As the kernel has it.
  // What has changed since the last sync, oldest first: undone, it gives what the disk has.
  std::vector<Overwritten> unsynced;

  // SQLite's locks on the file itself, and its shared index of the log.
  std::vector<Handle*> handles;
  std::vector<std::unique_ptr<std::array<char, kRegion>>> shared;

  void Write(std::size_t offset, std::string_view bytes) {
    const std::size_t end = offset + bytes.size();
    const std::size_t old_size = content.size();
    unsynced.push_back({offset, end, old_size, offset < old_size ? content.substr(offset, bytes.size()) : ""});
    if (offset == old_size) {
      content.append(bytes);
      return;
    }
    if (old_size < end) content.resize(end);
    content.replace(offset, bytes.size(), bytes);
  }

  void Truncate(std::size_t size) {
    if (size >= content.size()) return;
    unsynced.push_back({size, size, content.size(), content.substr(size)});
    content.resize(size);
  }

  void Undo(const Overwritten& lost) {
    if (content.size() == lost.end) {
      content.resize(lost.old_size);
    } else if (lost.old_size < lost.end && lost.end <= content.size()) {
      // Something behind it has arrived: a hole.
      const std::size_t begin = std::max(lost.offset, lost.old_size);
      content.replace(begin, lost.end - begin, lost.end - begin, '\0');
    }
    content.resize(std::max(content.size(), lost.offset + lost.bytes.size()));
    content.replace(lost.offset, lost.bytes.size(), lost.bytes);
  }
};

// SQLite allocates it, and knows its first member alone.
struct MemoryDisk::Handle {
  sqlite3_file base;
  MemoryDisk* disk;
  std::shared_ptr<File> file;
  std::int64_t generation;
  int lock;
  unsigned shared_locks;
  unsigned exclusive_locks;

  static Handle& Of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file); }
  bool dead() const { return generation != disk->generation_; }

  static int Close(sqlite3_file* file);
  static int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset);
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset);
  static int Truncate(sqlite3_file* file, sqlite3_int64 size);
  static int Sync(sqlite3_file* file, int flags);
  static int FileSize(sqlite3_file* file, sqlite3_int64* size);
  static int Lock(sqlite3_file* file, int level);
  static int Unlock(sqlite3_file* file, int level);
  static int CheckReservedLock(sqlite3_file* file, int* held);
  static int FileControl(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int SectorSize(sqlite3_file*) { return 4096; }
  static int DeviceCharacteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
  static int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out);
  static int ShmLock(sqlite3_file* file, int offset, int count, int flags);
  static void ShmBarrier(sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); }
  static int ShmUnmap(sqlite3_file* file, int remove);

  static const sqlite3_io_methods kMethods;
};

const sqlite3_io_methods MemoryDisk::Handle::kMethods = {
    2,
    Close,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Lock,
    Unlock,
    CheckReservedLock,
    FileControl,
    SectorSize,
    DeviceCharacteristics,
    ShmMap,
    ShmLock,
    ShmBarrier,
    ShmUnmap,
    nullptr,
    nullptr,
};

int MemoryDisk::Handle::Close(sqlite3_file* file) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  std::erase(handle.file->handles, &handle);
  handle.~Handle();
  return SQLITE_OK;
}

int MemoryDisk::Handle::Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  const Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  if (handle.dead()) return SQLITE_IOERR_READ;
  const std::string& content = handle.file->content;
  const auto wanted = static_cast<std::size_t>(size);
  const std::size_t begin = std::min(content.size(), static_cast<std::size_t>(offset));
  const std::size_t there = std::min(content.size() - begin, wanted);
  std::memcpy(out, content.data() + begin, there);
  if (there == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + there, 0, wanted - there);
  return SQLITE_IOERR_SHORT_READ;
}

int MemoryDisk::Handle::Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  if (handle.dead()) return SQLITE_IOERR_WRITE;
  const Fault fault = handle.disk->fault_;
  if (fault == Fault::kFull) return SQLITE_FULL;
  if (fault == Fault::kReadOnly || fault == Fault::kBroken) return SQLITE_IOERR_WRITE;
  handle.file->Write(static_cast<std::size_t>(offset),
                     {static_cast<const char*>(bytes), static_cast<std::size_t>(size)});
  return SQLITE_OK;
}

int MemoryDisk::Handle::Truncate(sqlite3_file* file, sqlite3_int64 size) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  if (handle.dead()) return SQLITE_IOERR_TRUNCATE;
  const Fault fault = handle.disk->fault_;
  if (fault == Fault::kReadOnly || fault == Fault::kBroken) return SQLITE_IOERR_TRUNCATE;
  handle.file->Truncate(static_cast<std::size_t>(size));
  return SQLITE_OK;
}

int MemoryDisk::Handle::Sync(sqlite3_file* file, int) {
  Handle& handle = Of(file);
  MemoryDisk& disk = *handle.disk;
  const std::lock_guard lock(disk.mutex_);
  if (handle.dead()) return SQLITE_IOERR_FSYNC;
  if (disk.fault_ == Fault::kSyncsLie) return SQLITE_OK;
  if (disk.fault_ == Fault::kBroken || disk.fault_ == Fault::kReadOnly) return SQLITE_IOERR_FSYNC;
  handle.file->unsynced.clear();
  ++disk.syncs_;
  return disk.fault_ == Fault::kAnswersLost ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

int MemoryDisk::Handle::FileSize(sqlite3_file* file, sqlite3_int64* size) {
  const Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  if (handle.dead()) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(handle.file->content.size());
  return SQLITE_OK;
}

int MemoryDisk::Handle::Lock(sqlite3_file* file, int level) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  if (handle.dead()) return SQLITE_IOERR_LOCK;
  if (handle.lock >= level) return SQLITE_OK;
  for (const Handle* other : handle.file->handles) {
    if (other == &handle || other->dead()) continue;
    const bool in_the_way = level == SQLITE_LOCK_EXCLUSIVE ? other->lock >= SQLITE_LOCK_SHARED
                            : level == SQLITE_LOCK_SHARED  ? other->lock >= SQLITE_LOCK_PENDING
                                                           : other->lock >= SQLITE_LOCK_RESERVED;
    if (in_the_way) return SQLITE_BUSY;
  }
  handle.lock = level;
  return SQLITE_OK;
}

int MemoryDisk::Handle::Unlock(sqlite3_file* file, int level) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  handle.lock = std::min(handle.lock, level);
  return SQLITE_OK;
}

int MemoryDisk::Handle::CheckReservedLock(sqlite3_file* file, int* held) {
  const Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  const std::vector<Handle*>& handles = handle.file->handles;
  *held = std::any_of(handles.begin(), handles.end(),
                      [](const Handle* each) { return !each->dead() && each->lock >= SQLITE_LOCK_RESERVED; });
  return SQLITE_OK;
}

int MemoryDisk::Handle::ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  *out = nullptr;
  if (handle.dead() || size > static_cast<int>(kRegion)) return SQLITE_IOERR_SHMMAP;
  auto& shared = handle.file->shared;
  const auto wanted = static_cast<std::size_t>(region);
  if (wanted >= shared.size() && extend == 0) return SQLITE_OK;
  while (wanted >= shared.size()) shared.push_back(std::make_unique<std::array<char, kRegion>>());
  *out = shared[wanted]->data();
  return SQLITE_OK;
}

int MemoryDisk::Handle::ShmLock(sqlite3_file* file, int offset, int count, int flags) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  const unsigned bits = ((1U << count) - 1U) << offset;
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    handle.shared_locks &= ~bits;
    handle.exclusive_locks &= ~bits;
    return SQLITE_OK;
  }
  if (handle.dead()) return SQLITE_IOERR_SHMLOCK;
  const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
  for (const Handle* other : handle.file->handles) {
    if (other == &handle || other->dead()) continue;
    if ((other->exclusive_locks & bits) != 0 || (exclusive && (other->shared_locks & bits) != 0)) return SQLITE_BUSY;
  }
  (exclusive ? handle.exclusive_locks : handle.shared_locks) |= bits;
  return SQLITE_OK;
}

int MemoryDisk::Handle::ShmUnmap(sqlite3_file* file, int remove) {
  Handle& handle = Of(file);
  const std::lock_guard lock(handle.disk->mutex_);
  handle.shared_locks = 0;
  handle.exclusive_locks = 0;
  if (remove != 0 && !handle.dead()) handle.file->shared.clear();
  return SQLITE_OK;
}

struct MemoryDisk::Vfs {
  sqlite3_vfs base{};

  static MemoryDisk& DiskOf(sqlite3_vfs* vfs) { return *static_cast<MemoryDisk*>(vfs->pAppData); }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_out) {
    MemoryDisk& disk = DiskOf(vfs);
    const std::lock_guard lock(disk.mutex_);
    file->pMethods = nullptr;
    std::shared_ptr<File> found;
    if (name == nullptr) {
      found = std::make_shared<File>();
    } else if (const auto it = disk.files_.find(name); it != disk.files_.end()) {
      found = it->second;
    } else {
      if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
      found = disk.files_[name] = std::make_shared<File>();
    }
    auto* handle = new (file) Handle{};
    handle->base.pMethods = &Handle::kMethods;
    handle->disk = &disk;
    handle->generation = disk.generation_;
    handle->lock = SQLITE_LOCK_NONE;
    found->handles.push_back(handle);
    handle->file = std::move(found);
    if (flags_out != nullptr) *flags_out = flags;
    return SQLITE_OK;
  }

  static int Delete(sqlite3_vfs* vfs, const char* name, int) {
    MemoryDisk& disk = DiskOf(vfs);
    const std::lock_guard lock(disk.mutex_);
    return disk.files_.erase(name) == 1 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
  }

  static int Access(sqlite3_vfs* vfs, const char* name, int, int* out) {
    MemoryDisk& disk = DiskOf(vfs);
    const std::lock_guard lock(disk.mutex_);
    *out = disk.files_.contains(name) ? 1 : 0;
    return SQLITE_OK;
  }

  static int FullPathname(sqlite3_vfs*, const char* name, int size, char* out) {
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
  }

  static int Randomness(sqlite3_vfs*, int size, char* out) {
    std::memset(out, 7, static_cast<std::size_t>(size));
    return size;
  }

  // Nobody else will give a lock back meanwhile.
  static int Sleep(sqlite3_vfs*, int micros) { return micros; }

  static int CurrentTime(sqlite3_vfs*, double* out) {
    *out = 2460000.5;
    return SQLITE_OK;
  }

  static int LastError(sqlite3_vfs*, int, char*) { return 0; }
};

MemoryDisk::MemoryDisk() : vfs_(std::make_unique<Vfs>()) {
  static std::atomic<std::int64_t> next = 1;
  name_ = "memory-disk-" + std::to_string(next++);
  sqlite3_vfs& vfs = vfs_->base;
  vfs.iVersion = 1;
  vfs.szOsFile = sizeof(Handle);
  vfs.mxPathname = 512;
  vfs.zName = name_.c_str();
  vfs.pAppData = this;
  vfs.xOpen = Vfs::Open;
  vfs.xDelete = Vfs::Delete;
  vfs.xAccess = Vfs::Access;
  vfs.xFullPathname = Vfs::FullPathname;
  vfs.xRandomness = Vfs::Randomness;
  vfs.xSleep = Vfs::Sleep;
  vfs.xCurrentTime = Vfs::CurrentTime;
  vfs.xGetLastError = Vfs::LastError;
  ConfigureSqlite();
  sqlite3_vfs_register(&vfs, /*makeDflt=*/0);
}

MemoryDisk::~MemoryDisk() { sqlite3_vfs_unregister(&vfs_->base); }

void MemoryDisk::set_fault(Fault fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
}

void MemoryDisk::KillConnections() {
  const std::lock_guard lock(mutex_);
  ++generation_;
  // The dead keep the old files, and what they do to them is seen by nobody.
  for (auto& [name, file] : files_) {
    auto fresh = std::make_shared<File>();
    fresh->content = std::move(file->content);
    fresh->unsynced = std::move(file->unsynced);
    file = std::move(fresh);
  }
}

void MemoryDisk::CutPower(const std::function<bool()>& survives) {
  KillConnections();
  const std::lock_guard lock(mutex_);
  for (auto& [name, file] : files_) {
    for (auto lost = file->unsynced.rbegin(); lost != file->unsynced.rend(); ++lost) {
      if (!survives()) file->Undo(*lost);
    }
    file->unsynced.clear();
  }
}

void MemoryDisk::CopyFrom(const MemoryDisk& other) {
  const std::scoped_lock lock(mutex_, other.mutex_);
  files_.clear();
  for (const auto& [name, file] : other.files_) {
    files_[name] = std::make_shared<File>();
    files_[name]->content = file->content;
  }
}

void MemoryDisk::DamagePage(const std::string& path, int page) {
  const std::lock_guard lock(mutex_);
  File& file = *files_.at(path);
  file.Write(std::size_t{4096} * static_cast<std::size_t>(page), std::string(4096, '\x5a'));
  file.unsynced.clear();
}

}  // namespace tokenbroker
