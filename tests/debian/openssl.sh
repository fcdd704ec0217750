# program: bash
# reference: expected
# timeout: 300
# OpenSSL: digests, ciphers, keys, signatures, certificates, a TLS connection, speed.
export LC_ALL=C
seq 1 20000 >data
for digest in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-256 sha3-512 blake2b512 blake2s256 sm3 ripemd160; do
    printf '%s ' $digest; openssl dgst -$digest -r <data
done
openssl dgst -sha256 -hmac key -r <data
openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt pass:secret -kdfopt salt:salt -kdfopt iter:1000 PBKDF2
for cipher in aes-128-cbc aes-256-cbc aes-256-ctr chacha20 camellia-256-cbc aria-256-cbc des-ede3-cbc sm4-cbc; do
    printf '%s ' $cipher
    openssl enc -$cipher -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 00112233445566778899aabbccddeeff -in data -out cipher 2>/dev/null
    sha256sum <cipher | cut -c1-16
    openssl enc -d -$cipher -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 00112233445566778899aabbccddeeff -in cipher 2>/dev/null | cmp - data
done
openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in data | openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:x | cmp - data && echo 'password round trip'
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa.pem && openssl pkey -in rsa.pem -pubout -out rsa.pub
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem && openssl pkey -in ec.pem -pubout -out ec.pub
for key in rsa ec; do openssl dgst -sha256 -sign $key.pem -out sig data && openssl dgst -sha256 -verify $key.pub -signature sig data; done
openssl genpkey -algorithm ED25519 -out ed.pem && openssl pkeyutl -sign -rawin -inkey ed.pem -in data -out sig && openssl pkeyutl -verify -rawin -inkey ed.pem -in data -sigfile sig
openssl req -x509 -key ec.pem -subj /CN=localhost -days 30 -out cert.pem && openssl verify -CAfile cert.pem cert.pem
openssl x509 -in cert.pem -noout -subject | tr -d ' '
openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key ec.pem -rev -naccept 1 >server.log 2>&1 &
for i in $(seq 300); do port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.log); test -n "$port" && break; sleep 0.1; done
(echo 'hello tls'; sleep 3) | timeout 60 openssl s_client -connect 127.0.0.1:$port -CAfile cert.pem -quiet -no_ign_eof -verify_return_error 2>/dev/null | head -n 1
kill $! 2>/dev/null; wait 2>/dev/null
openssl speed -seconds 1 -bytes 1024 sha256 2>/dev/null | grep -c '^sha256 .*k$'
openssl speed -seconds 1 -bytes 1024 -evp aes-128-cbc 2>/dev/null | grep -ic '^aes-128-cbc .*k$'
openssl prime 1000000007
openssl rand -hex 16 | wc -c
