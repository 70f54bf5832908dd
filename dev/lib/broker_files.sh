# Sourced by dev/quickstart: what the broker reads.

# write_configuration LEDGER BROKER_ID ISSUER_FILE: $run/config.yaml. Ports are whatever is free.
write_configuration() {
  cat >"$run/config.yaml" <<YAML
broker: $2
listen:
  grpc: 127.0.0.1:0
  http: 127.0.0.1:0
  certificate_file: '$ca/server.pem'
  key_file: '$ca/server.key'
  client_ca_file: '$ca/ca.pem'
ledger:
  sqlite_file: '$1'
policy_file: '$run/policy.yaml'
gitlab:
  - name: main
    url: '$gitlab_url'
    issuer_file: '$3'
${GITLAB_CA_FILE:+    ca_file: '$(realpath "$GITLAB_CA_FILE")'}
log:
  level: info
YAML
}

# $run/policy.yaml: who the caller `demo` is, and what it may ask for.
write_policy() {
  cat >"$run/policy.yaml" <<YAML
callers:
  - name: demo
    identities:
      - spiffe: spiffe://quickstart.test/demo
roles:
  integrator:
    - verbs: [create]
      targets:
        - user: $user_id
      scopes: [read_user, read_repository]
      max_ttl: 8h
    - verbs: [create]
      targets:
        - project: '$project_path'
      scopes: [read_repository]
      max_access_level: 20
      max_ttl: 8h
bindings:
  - callers: [demo]
    roles: [integrator]
denies: []
YAML
}
