#include "tests/integration/broker_process.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

namespace tokenbroker {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string BrokerBinary() {
  const char* path = getenv("TOKENBROKERD");
  if (path == nullptr) ADD_FAILURE() << "TOKENBROKERD is not set";
  return path == nullptr ? "" : path;
}

// The fields of the log line with this event, or null.
nlohmann::json LogLine(const std::string& output, const std::string& event) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("event", "") == event) return json;
  }
  return nullptr;
}

// GETs `url`; the HTTP status, or 0.
int Get(const std::string& url, const std::string& header, std::string* body) {
  CURL* curl = curl_easy_init();
  curl_slist* headers = header.empty() ? nullptr : curl_slist_append(nullptr, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
  curl_easy_setopt(
      curl, CURLOPT_WRITEFUNCTION, +[](char* data, size_t size, size_t count, void* out) {
        static_cast<std::string*>(out)->append(data, size * count);
        return size * count;
      });
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
  long code = 0;
  if (curl_easy_perform(curl) == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
  curl_easy_cleanup(curl);
  curl_slist_free_all(headers);
  return static_cast<int>(code);
}

}  // namespace

void NapBetweenLooks() { poll(nullptr, 0, 5); }

ChildProcess::ChildProcess(std::vector<std::string> arguments, std::vector<std::string> environment,
                           std::string output_file)
    : output_file_(std::move(output_file)) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::vector<char*> argv = Pointers(arguments);
  std::vector<char*> envp = Pointers(environment);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(error, 0) << "cannot start " << arguments[0];
  if (error != 0) exit_code_ = 127;
}

ChildProcess::~ChildProcess() {
  if (exit_code_.has_value()) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ChildProcess::Signal(int number) const {
  if (!exit_code_.has_value()) kill(pid_, number);
}

std::optional<int> ChildProcess::Wait(std::chrono::seconds patience) {
  Eventually(
      [this] {
        int status = 0;
        if (!exit_code_.has_value() && waitpid(pid_, &status, WNOHANG) == pid_) {
          exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        return exit_code_.has_value();
      },
      patience);
  return exit_code_;
}

std::string ChildProcess::output() const { return ReadFile(output_file_); }

House::House(const gitlab_sim::Options& options) {
  std::string pattern = testing::TempDir() + "house_XXXXXX";
  folder_ = mkdtemp(pattern.data());
  gitlab_ = gitlab_sim::GitLabSim::Start(options);
  gitlab_sim::UserSeed root;
  root.username = "root";
  root.admin = true;
  gitlab_sim::TokenSeed issuer;
  issuer.user_id = gitlab_->AddUser(root);
  issuer.name = "broker";
  issuer_secret_ = gitlab_->AddToken(issuer).secret;
  gitlab_sim::UserSeed demo;
  demo.username = "demo-user";
  demo_user_ = gitlab_->AddUser(demo);
  gitlab_sim::ProjectSeed project;
  project.full_path = "acme/payments";
  project.repository = !options.git_root.empty();
  project_ = gitlab_->AddProject(project);
  gitlab_->AddProjectMember(project_, demo_user_, 30);

  WriteFileOrDie(path("ca.pem"), authority_.certificate_pem());
  const TestCertificate server = authority_.Issue(ServerSpec());
  WriteFileOrDie(path("server.pem"), server.certificate_pem);
  WriteFileOrDie(path("server.key"), server.key_pem);
  WriteFileOrDie(path("issuer"), issuer_secret_ + "\n");

  config_ =
      "broker: test\n"
      "listen:\n"
      "  grpc: 127.0.0.1:0\n"
      "  http: 127.0.0.1:0\n"
      "  certificate_file: " +
      path("server.pem") + "\n" + "  key_file: " + path("server.key") + "\n" + "  client_ca_file: " + path("ca.pem") +
      "\n" +
      "ledger:\n"
      "  sqlite_file: " +
      path("ledger.db") + "\n" + "policy_file: " + path("policy.yaml") + "\n" +
      "gitlab:\n"
      "  - name: main\n"
      "    url: " +
      gitlab_->url() + "\n" + "    issuer_file: " + path("issuer") + "\n" +
      "log:\n"
      "  level: info\n";
  policy_ =
      "callers:\n"
      "  - name: demo\n"
      "    identities:\n"
      "      - spiffe: spiffe://test/demo\n"
      "  - name: other\n"
      "    identities:\n"
      "      - spiffe: spiffe://test/other\n"
      "roles:\n"
      "  integrator:\n"
      "    - verbs: [create]\n"
      "      targets:\n"
      "        - user: " +
      std::to_string(demo_user_) + "\n" +
      "        - project: acme/*\n"
      "      scopes: [read_user, read_api, read_repository, write_repository]\n"
      "      max_access_level: 30\n"
      "      max_ttl: 8h\n"
      "bindings:\n"
      "  - callers: [demo, other]\n"
      "    roles: [integrator]\n"
      "denies: []\n";
}

House::~House() = default;

void House::EditConfig(const std::string& from, const std::string& to) {
  const std::size_t at = config_.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  config_.replace(at, from.size(), to);
}

void House::WriteFiles() {
  WriteFileOrDie(path("config.yaml"), config_);
  WriteFileOrDie(path("policy.yaml"), policy_);
}

void House::Launch() {
  WriteFiles();
  std::vector<std::string> arguments = command_;
  if (arguments.empty()) arguments.push_back(BrokerBinary());
  arguments.insert(arguments.end(), {"--config", path("config.yaml")});
  arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
  broker_ = std::make_unique<ChildProcess>(std::move(arguments), environment_,
                                           path("broker." + std::to_string(++starts_) + ".log"));
}

bool House::StartBroker() {
  Launch();
  return Eventually([this] {
           return !LogLine(output(), "serving").is_null() || broker_->Wait(std::chrono::seconds(0)).has_value();
         }) &&
         !broker_->Wait(std::chrono::seconds(0)).has_value();
}

std::optional<int> House::StopBroker() {
  broker_->Signal(SIGTERM);
  return broker_->Wait(std::chrono::seconds(60));
}

void House::KillBroker() {
  broker_->Signal(SIGKILL);
  broker_->Wait(std::chrono::seconds(10));
}

std::optional<int> House::RunBrokerToItsEnd() {
  Launch();
  return broker_->Wait(std::chrono::seconds(20));
}

std::string House::output() const { return broker_ == nullptr ? "" : broker_->output(); }

std::string House::grpc_address() const { return LogLine(output(), "serving").value("grpc", ""); }
std::string House::http_address() const {
  const auto line = LogLine(output(), "http endpoints open");
  return line.is_null() ? "" : line.value("http", "");
}

std::string House::Fetch(const std::string& where, int* status) const {
  std::string body;
  const int code = Get("http://" + http_address() + where, {}, &body);
  if (status != nullptr) *status = code;
  return body;
}

int UseToken(const std::string& url, std::string_view secret) {
  std::string body;
  return Get(url, "PRIVATE-TOKEN: " + std::string(secret), &body);
}

std::pair<std::string, std::string> House::ClientFiles(const std::string& spiffe) {
  const std::string name = path("client." + std::to_string(std::hash<std::string>()(spiffe)));
  if (!std::filesystem::exists(name + ".pem")) {
    TestCertificateSpec spec = ClientSpec(spiffe);
    spec.not_after = std::chrono::hours(24 * 60);
    const TestCertificate certificate = authority_.Issue(spec);
    WriteFileOrDie(name + ".pem", certificate.certificate_pem);
    WriteFileOrDie(name + ".key", certificate.key_pem);
  }
  return {name + ".pem", name + ".key"};
}

std::unique_ptr<TokenClient> House::Client(const std::string& spiffe) {
  TokenClientOptions options;
  options.address = grpc_address();
  options.ca_file = path("ca.pem");
  std::tie(options.certificate_file, options.key_file) = ClientFiles(spiffe);
  options.retry.max_attempts = 1;  // The tests look at what the broker answers.
  absl::StatusOr<std::unique_ptr<TokenClient>> client = MakeTokenClient(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

std::vector<std::pair<std::string, std::string>> House::AllFiles() const {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (entry.is_regular_file()) files.emplace_back(entry.path().string(), ReadFile(entry.path().string()));
  }
  return files;
}

v1::Token UserTokenSpec(std::int64_t user, std::chrono::seconds ttl) {
  v1::Token token;
  token.set_display_name("DeepTraQ Integration Token");
  token.mutable_target()->set_user(std::to_string(user));
  token.add_scopes("read_user");
  token.add_scopes("read_repository");
  token.mutable_ttl()->set_seconds(ttl.count());
  return token;
}

v1::Token ProjectTokenSpec(const std::string& path, std::chrono::seconds ttl) {
  v1::Token token;
  token.set_display_name("DeepTraQ Integration Token");
  token.mutable_target()->set_project(path);
  token.add_scopes("read_repository");
  token.set_access_level(20);
  token.mutable_ttl()->set_seconds(ttl.count());
  return token;
}

}  // namespace tokenbroker
