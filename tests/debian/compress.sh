# program: bash
# reference: expected
# xz, zstd, gzip: round trips at several levels, streams, damaged input.
export LC_ALL=C
{ seq 1 60000; head -c 200000 /dev/zero; seq 60000 -3 1; } >data
sha256sum <data
for tool in 'gzip -1' 'gzip -9' 'xz -0' 'xz -3' 'xz -2 --check=sha256' 'xz -T2 -0' 'zstd -q -1' 'zstd -q -10' 'zstd -q -T2 -3 --long=20'; do
    $tool -c <data >packed && test "$(stat -c %s packed)" -lt 400000 && ${tool%% *} -dc <packed | cmp - data && echo "$tool ok"
done
cp data one; gzip one && gunzip one.gz && cmp one data && echo 'gzip in place'
xz -k one && xz -t one.xz && rm one && unxz one.xz && cmp one data && echo 'xz in place'
zstd -q --rm one && zstd -q -d --rm one.zst && cmp one data && echo 'zstd in place'
gzip -c data >bad.gz; printf 'X' | dd of=bad.gz bs=1 seek=5000 conv=notrunc status=none; gzip -t bad.gz 2>/dev/null; echo "damaged gzip $?"
xz -0 -c data >bad.xz; truncate -s -100 bad.xz; xz -t bad.xz 2>/dev/null; echo "damaged xz $?"
zstd -q -c data >bad.zst; truncate -s -10 bad.zst; zstd -q -t bad.zst 2>/dev/null; echo "damaged zstd $?"
tar -cJf t.tar.xz data && tar -xJOf t.tar.xz | cmp - data && echo 'tar xz'
tar --zstd -cf t.tar.zst data && tar --zstd -xOf t.tar.zst | cmp - data && echo 'tar zstd'
