# program: bash
# reference: host
# GNU coreutils, findutils, sed, grep, awk, diff, tar: the same text as on the host.
export LC_ALL=C TZ=UTC
seq 1 2000 >numbers
for tool in md5sum sha1sum sha256sum sha512sum b2sum cksum sum; do $tool <numbers; done
wc numbers
head -n 3 numbers | tac
tail -c 20 numbers
sort -rn numbers | head -n 2
sort -R --random-source=numbers numbers | sha256sum
seq 30 | shuf --random-source=numbers | paste -sd,
seq 100 | awk '{ s += $1 * $1 } END { printf "%d %.3f\n", s, sqrt(s) }'
seq 20 | sed -n '/5/,/9/{s/\(.\)/<\1>/;p}'
grep -c '^1.*9$' numbers
grep -E -o '(12|34){2,}' numbers | sort -u | tr '\n' ' '; echo
cut -c1-2 numbers | uniq -c | sort -k1,1nr -k2,2n | head -n 3
printf 'a 1\nb 2\nc 3\n' >left
printf 'a x\nc z\nd w\n' >right
join left right
comm -12 <(cut -d' ' -f1 left) <(cut -d' ' -f1 right)
paste left right
diff left right
diff -u left right | tail -n +3
factor 1 97 123456789 18446744073709551557
factor 340282366920938463463374607431768211297
expr 12345679 \* 81
base64 <left
base64 <left | base64 -d | cmp - left && echo same
od -A d -t x1z -v left | head -n 2
date -u -d @1700000000 '+%F %T %a %j'
date -u -d '2024-02-29 + 1 year' +%F
printf '%08.3f|%-10s|%+d|%x|%q\n' 3.14159 left 42 255 'a b'
echo 'the quick brown fox' | tr 'a-z' 'A-Z' | rev
fmt -w 20 <<<'one two three four five six seven eight nine ten'
printf 'b a\nc b\nd c\n' | tsort
split -l 500 numbers part. && ls part.* && cat part.* | cmp - numbers && echo joined
csplit -s numbers 100 200 && wc -l xx00 xx01 xx02
dd if=numbers of=copy bs=100 skip=2 count=5 status=none && md5sum <copy
truncate -s 1M sparse && stat -c '%s %F %a' sparse
mkdir -p tree/a/b tree/c && touch tree/a/1 tree/a/b/2 tree/c/3 && chmod 640 tree/c/3
find tree -type f | sort
find tree -type f -newermt '2001-01-01' -printf '%f %m\n' | sort
ln -s ../a/1 tree/c/link && readlink tree/c/link && readlink -f tree/c/link | sed 's,.*/tree,tree,'
cp -a tree copy-of-tree && diff -r tree copy-of-tree && echo equal
mv copy-of-tree/a moved && ls -R copy-of-tree
tar -cf - tree | tar -tf - | sort
tar -czf tree.tgz tree && mkdir out && tar -xzf tree.tgz -C out && diff -r tree out/tree && echo unpacked
seq 5 | xargs -n 2 echo group
seq 4 | xargs -P 2 -I{} sh -c 'exit 0' && echo parallel
timeout 0.2 sleep 10; echo "timeout: $?"
{ timeout -s KILL 0.2 sleep 10; } 2>/dev/null; echo "killed: $?"
env -i A=1 B=2 env | sort
nice -n 5 nice
(ulimit -n 64; ulimit -n)
test -e numbers -a ! -d numbers && [ numbers -nt /nonexistent ] && echo tests
ls /nonexistent 2>/dev/null; echo "status $?"
cat /nonexistent 2>&1
rmdir tree 2>&1
tee one two <left | wc -l
cmp one two && echo tee
yes | head -n 100000 | md5sum
numfmt --to=iec 1234567890
seq -f '%05g' 3 3 12 | nl
echo abc | sha256sum | cut -c1-16
mktemp -u XXXX | wc -c
stat -c %h numbers; ln numbers hard; stat -c %h numbers
du -b --apparent-size numbers | cut -f1
install -m 700 left installed && stat -c %a installed
pr -l 10 -t -2 <(seq 6)
