// Every key of GitLab's group object, in its order, with the value that a fresh one has.
#include "tests/gitlab_sim/key_tables.h"

namespace tokenbroker::gitlab_sim {

const std::vector<KeyDefault>& GroupKeys() {
  static const std::vector<KeyDefault> kKeys = {
      {"id", nullptr, 0, 0},
      {"web_url", nullptr, 0, 0},
      {"name", nullptr, 0, 0},
      {"path", nullptr, 0, 0},
      {"description", nullptr, 0, 0},
      {"visibility", nullptr, 0, 0},
      {"share_with_group_lock", "false", 0, 0},
      {"require_two_factor_authentication", "false", 0, 0},
      {"two_factor_grace_period", "48", 0, 0},
      {"project_creation_level", R"("developer")", 0, 0},
      {"auto_devops_enabled", "null", 0, 0},
      {"subgroup_creation_level", R"("maintainer")", 0, 0},
      {"emails_disabled", "false", 0, 0},
      {"emails_enabled", "true", 0, 0},
      {"show_diff_preview_in_email", "true", 1800, 0},
      {"mentions_disabled", "null", 0, 0},
      {"lfs_enabled", "true", 0, 0},
      {"archived", nullptr, 1800, 0},
      {"math_rendering_limits_enabled", "true", 0, 0},
      {"lock_math_rendering_limits_enabled", "false", 0, 0},
      {"default_branch", "null", 0, 0},
      {"default_branch_protection", "2", 0, 0},
      {"default_branch_protection_defaults",
       R"({"allowed_to_push":[{"access_level":40}],"allow_force_push":false,"allowed_to_merge":[{"access_level":40}],"developer_can_initial_push":false})",
       0, 0},
      {"avatar_url", "null", 0, 0},
      {"request_access_enabled", "true", 0, 0},
      {"full_name", nullptr, 0, 0},
      {"full_path", nullptr, 0, 0},
      {"created_at", nullptr, 0, 0},
      {"parent_id", nullptr, 0, 0},
      {"organization_id", "1", 0, 0},
      {"shared_runners_setting", R"("enabled")", 0, 0},
      {"max_artifacts_size", "null", 0, 0},
      {"marked_for_deletion_on", "null", 1800, 0},
      {"ldap_cn", "null", 0, 0},
      {"ldap_access", "null", 0, 0},
      {"wiki_access_level", R"("enabled")", 0, 0},
      {"duo_namespace_access_rules", "[]", 1800, 0},
      {"shared_with_groups", "[]", 0, 0},
      {"runners_token", nullptr, 0, 0},
      {"enabled_git_access_protocol", R"("all")", 0, 0},
      {"prevent_sharing_groups_outside_hierarchy", "false", 0, 0},
      {"projects", nullptr, 0, 0},
      {"shared_projects", "[]", 0, 0},
      {"shared_runners_minutes_limit", "null", 0, 0},
      {"extra_shared_runners_minutes_limit", "null", 0, 0},
      {"prevent_forking_outside_group", "null", 0, 0},
      {"service_access_tokens_expiration_enforced", "true", 1800, 0},
      {"membership_lock", "false", 0, 0},
  };
  return kKeys;
}

}  // namespace tokenbroker::gitlab_sim
