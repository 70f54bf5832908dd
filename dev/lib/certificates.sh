# Sourced by dev/quickstart: a throw-away certificate authority, a server's and a client's certificate.

# issue NAME SAN USAGE: $ca/NAME.pem and $ca/NAME.key, signed by the authority.
issue() {
  local name=$1 san=$2 usage=$3
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
    -keyout "$ca/$name.key" -out "$ca/$name.csr"
  openssl x509 -req -in "$ca/$name.csr" -CA "$ca/ca.pem" -CAkey "$ca/ca.key" -days 30 -out "$ca/$name.pem" -extfile - \
    <<<"subjectAltName=$san
extendedKeyUsage=$usage
keyUsage=critical,digitalSignature
basicConstraints=critical,CA:FALSE"
  rm "$ca/$name.csr"
}

# Fills the folder $ca; the authority's key is used twice and then forgotten.
make_certificates() {
  rm -rf "$ca" && mkdir "$ca"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj '/CN=quickstart CA' \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$ca/ca.key" -out "$ca/ca.pem"
  issue server 'DNS:localhost,IP:127.0.0.1' serverAuth
  issue demo 'URI:spiffe://quickstart.test/demo' clientAuth
  rm "$ca/ca.key"
}
