# Perl at work: hashes, arrays, regular expressions, string building, subroutines, sorting. $ARGV[0]: rounds.
my ($check, $state) = (0, 1);

sub next_word {
    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return 'word' . (($state >> 8) % 700);
}

sub depth { my ($n) = @_; return $n < 2 ? $n : depth($n - 1) + depth($n - 2) }

for my $round (1 .. $ARGV[0]) {
    my (%count, @lines);
    for (1 .. 3000) {
        my $word = next_word();
        $count{$word}++;
        push @lines, "$_: $word=" . ($_ * 7 % 101);
    }
    my $matched = 0;
    for my $line (@lines) {
        if ($line =~ /^(\d+): word(\d)\d*=(\d+)$/) { $matched += $1 * $2 + $3 }
        (my $copy = $line) =~ s/(\d)/<$1>/g;
        $matched += length $copy;
    }
    my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    my $joined = join ',', map { uc "$_$count{$_}" } @order[0 .. 99];
    $joined =~ tr/A-M/a-m/;
    $check = ($check * 31 + $matched + unpack('%32C*', $joined) + depth(14)) % 4294967291;
}
print "$check\n";
