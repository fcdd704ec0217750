# program: perl
# reference: qemu
# Perl in one process: numbers, strings, regular expressions, sorting, packing, digests, big numbers.
use strict; use warnings;
use Digest::MD5 qw(md5_hex); use Digest::SHA qw(sha256_hex sha512_base64);
use Math::BigInt; use Math::BigFloat; use List::Util qw(sum reduce shuffle first); use POSIX qw(floor strftime fmod DBL_MAX);
use Time::Local; use Storable qw(dclone freeze thaw); use Data::Dumper; use MIME::Base64; use Encode; use Text::Wrap;
use Compress::Zlib; use JSON::PP; use Unicode::Normalize; use File::Temp; use Scalar::Util qw(weaken blessed);
$Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
print md5_hex('x' x 100000), ' ', sha256_hex(join ',', 1 .. 5000), ' ', sha512_base64('perl'), "\n";
print Math::BigInt->new(2)->bpow(300), ' ', Math::BigInt->new(50)->bfac, ' ', Math::BigFloat->new(2)->bsqrt(50), "\n";
printf "%.15g %.17g %e %d %s\n", 1 / 3, sqrt(2), 1e-300 * 1e10, -7 % 3, 9**20;
printf "%s %s %s\n", 1e308 * 10, -1e308 * 10, 9**9**9 - 9**9**9;
print join(',', map { floor($_ * 1.1) } 1 .. 20), "\n";
my %count; $count{$_}++ for split //, 'the quick brown fox jumps over the lazy dog';
print join(' ', map { "$_=$count{$_}" } sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count), "\n";
my $text = 'key1=value1; key2="quoted value"; key3=3'; my %pairs;
while ($text =~ /(\w+)=(?:"([^"]*)"|([^;]*))/g) { $pairs{$1} = $2 // $3 }
print Dumper(\%pairs);
print join('|', 'aXbXXc' =~ /([a-z])(?=X|$)/g), ' ', scalar reverse('abc'), ' ', ucfirst lc 'HELLO', "\n";
(my $nested = '((a)(b(c)))') =~ s/(\((?:[^()]++|(?1))*\))/<$1>/; print "$nested\n";
print join(',', unpack('N n C A4 H6 w', pack('N n C A4 H6 w', 305419896, 4660, 255, 'abc', 'deadbe', 300))), "\n";
print strftime('%Y-%m-%d %H:%M:%S %j', gmtime(1234567890)), ' ', timegm(30, 31, 23, 13, 1, 109), "\n";
my $deep = { list => [1 .. 5], hash => { a => [{ b => 'c' }] } }; my $clone = dclone($deep); $clone->{list}[0] = 99;
print "$deep->{list}[0] $clone->{list}[0] ", thaw(freeze($deep))->{hash}{a}[0]{b}, "\n";
print encode_base64('binary' . chr(0) . chr(255)), length(encode('UTF-8', "\x{263a}\x{1f600}")), ' ', length(NFD("\x{e9}")), "\n";
my $z = compress('abc' x 10000); print length($z) < 200 ? "compressed\n" : "big\n"; print uncompress($z) eq 'abc' x 10000 ? "ok\n" : "bad\n";
print JSON::PP->new->canonical->encode({ a => [1, 2.5, 'x', undef], b => { c => JSON::PP::true } }), "\n";
print wrap('', '  ', 'the quick brown fox ' x 8), "\n";
my @sieve = (1) x 10001; for my $i (2 .. 100) { next unless $sieve[$i]; for (my $j = $i * $i; $j <= 10000; $j += $i) { $sieve[$j] = 0 } }
print scalar(grep { $sieve[$_] } 2 .. 10000), ' ', sum(map { $_**3 } 1 .. 100), "\n";
sub ackermann { my ($m, $n) = @_; no warnings 'recursion'; $m == 0 ? $n + 1 : $n == 0 ? ackermann($m - 1, 1) : ackermann($m - 1, ackermann($m, $n - 1)) }
print ackermann(2, 9), "\n";
eval { die { code => 42 } }; print "died $@->{code}\n"; eval { my $x = 1; my $y = 0; $x / $y }; print $@;
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; 1 while 1; }; print $@;
my ($fh, $name) = File::Temp::tempfile(UNLINK => 1); print $fh "line $_\n" for 1 .. 1000; close $fh; open my $in, '<', $name or die; my $n = 0; $n += length while <$in>; print "$n $.\n";
print sprintf('%vd', '1.22.333'), ' ', join(',', sort { $a <=> $b } (10, 9, 100, 1)), ' ', 'abc' x 3, ' ', join('', 'a' .. 'e'), "\n";
my $s = 0; for my $i (1 .. 300000) { $s = ($s * 31 + $i) & 0xffffffff } print "$s\n";
