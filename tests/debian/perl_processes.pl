# program: perl
# reference: expected
# Perl with other processes, sockets and threads.
use strict; use warnings; use Config; use IO::Socket::INET; use IO::Select; use IPC::Open3; use Socket; use POSIX ':sys_wait_h';
$| = 1;
my @pids; for my $i (1 .. 5) { my $pid = fork // die; if (!$pid) { exit $i } push @pids, $pid }
print join(' ', map { waitpid($_, 0); $? >> 8 } @pids), "\n";
pipe(my $r, my $w); if (!fork) { close $r; print $w "from child\n"; exit } close $w; print scalar <$r>; wait;
my $pid = fork // die; if (!$pid) { sleep 20; exit } kill 'TERM', $pid; waitpid $pid, 0; print 'signal ', $? & 127, "\n";
print `echo backticks; exit 3`, $? >> 8, "\n"; system('sh', '-c', 'exit 4'); print $? >> 8, "\n";
my $in = open3(my $to, my $from, undef, 'tr', 'a-z', 'A-Z'); print $to "open three\n"; close $to; print scalar <$from>; waitpid $in, 0;
open my $pipe, '-|', 'sort', '-r', '/dev/fd/0' or die if 0; open $pipe, '|-', 'sort -n' or die; print $pipe "$_\n" for 3, 1, 2; close $pipe;
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!"; my $port = $server->sockport;
if (!fork) { my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die; print $c "hello $_\n" for 1 .. 3; shutdown $c, 1; print STDOUT "reply: $_" while <$c>; exit }
my $client = $server->accept; print $client uc while <$client>; close $client; wait;
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; syswrite $a, 'pair'; sysread $b, my $got, 10; print "$got\n";
my $got_usr1 = 0; local $SIG{USR1} = sub { $got_usr1++ }; kill 'USR1', $$ for 1 .. 3; print "signals: ", $got_usr1 >= 1 ? 'yes' : 'no', "\n";
local $SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 }; if (!fork) { exit } select undef, undef, undef, 0.3; print "child gone: ", waitpid(-1, WNOHANG), "\n"; $SIG{CHLD} = 'DEFAULT';
if ($Config{useithreads}) { require threads; require threads::shared; require Thread::Queue;
  my $sum :shared = 0; my @t = map { my $k = $_; threads->create(sub { for (1 .. 200) { lock $sum; $sum += $k } $k * $k }) } 1 .. 4;
  print join(' ', map { $_->join } @t), " $sum\n"; my $q = Thread::Queue->new; my $t = threads->create(sub { my $s = 0; while (defined(my $x = $q->dequeue)) { $s += $x } $s });
  $q->enqueue($_) for 1 .. 100; $q->end; print $t->join, "\n" }
exec 'echo', 'exec works';
