#include <utility>

#include "server/base/error.h"
#include "server/base/file_text.h"
#include "server/identity/key_fetcher.h"

namespace tokenbroker {
namespace {

class FileKeyFetcher final : public KeyFetcher {
 public:
  FileKeyFetcher(std::string path, Executor& executor) : path_(std::move(path)), executor_(executor) {}

  void Fetch(bool /*rediscover*/, Done done) override {
    executor_.Post([path = path_, done = std::move(done)]() mutable {
      absl::StatusOr<FileText> file = ReadFileText(path);
      if (file.ok()) return done(std::move(file->text));
      done(Error(absl::StatusCode::kUnavailable, "FETCH_FAILED", std::string(file.status().message())));
    });
  }

 private:
  const std::string path_;
  Executor& executor_;
};

}  // namespace

std::unique_ptr<KeyFetcher> MakeFileKeyFetcher(std::string path, Executor& executor) {
  return std::make_unique<FileKeyFetcher>(std::move(path), executor);
}

}  // namespace tokenbroker
