# program: busybox sh
# reference: expected
# busybox: its shell and applets, called through the one binary.
b=busybox
seq 1 100 | $b md5sum
$b echo hello | $b tr a-z A-Z
$b seq 3 | $b awk '{ print $1 * 2 }'
printf 'c\na\nb\n' | $b sort -r | $b head -n 1
$b printf '%05d\n' 42
$b expr 6 \* 7
echo 'a:b:c' | $b cut -d: -f2
$b sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo $i'
echo text >file; $b gzip file; $b gunzip -c file.gz
$b tar cf t.tar file.gz; $b tar tf t.tar
$b find . -name '*.tar'
echo aGVsbG8K | $b base64 -d
$b sed 's/x/y/' <<E2
axb
E2
$b grep -c root /etc/passwd
$b uname -m
$b vi --help >/dev/null 2>&1; echo "vi $?"
($b sleep 5 & $b kill $!; wait $! 2>/dev/null; echo "killed $?")
echo '2 3 + p' | $b dc
$b test -d /etc && echo directory
$b stat -c %a /etc/passwd
$b sha256sum </dev/null
