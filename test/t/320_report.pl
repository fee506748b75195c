# A model on one page: what is in it and what is not, whatever names people gave,
# and how a browser shows it.
use strict;
use warnings;

use Cwd qw(realpath);
use File::Path qw(make_path);
use File::Temp ();
use FindBin;
use JSON::PP qw(decode_json);
use Test::More;

use Programs qw(find_program);
use Served qw(served_server);
use Session qw(create_database query run_command run_sql);

my $server = served_server();
sub on { return $server->query_on('stats', @_) }
sub fails { my ($sql) = @_; return $server->on(sub { (run_sql('stats', $sql))[2] }) }
sub report { my ($model, $role) = @_; return on(($role ? "SET ROLE $role;" : '') . "SELECT modelopt.report_html('$model')") }

# What may be in a page, and nothing else: a name that gets out of its place
# makes a tag, or an attribute, that is not here.
my %ATTRIBUTES = map { my ($tag, @names) = split; ($tag => { map { $_ => 1 } @names }) } (
	'html lang', 'head', 'meta charset http-equiv content name', 'title id', 'style', 'body', 'main', 'header', 'h1', 'h2 id', 'p class',
	'dl', 'div class role aria-label tabindex', 'dt', 'dd', 'small', 'section aria-labelledby', 'figure', 'figcaption', 'table', 'caption', 'thead', 'tbody',
	'tr', 'th scope class', 'td class', 'span class', 'code', 'time datetime', 'details', 'summary', 'abbr title', 'sub', 'footer',
	'svg role aria-labelledby viewBox width height', 'desc id', 'path class d', 'circle class cx cy r', 'text class x y text-anchor');

# What is wrong with a page.
sub faults
{
	my ($page) = @_;
	my (@open, @faults, %id, @referred);
	push @faults, 'does not begin as a page' unless $page =~ s/^<!DOCTYPE html>//;
	$page =~ s{<style>.*?</style>}{}s;
	push @faults, "an ampersand: $1" while $page =~ /(&(?!(?:amp|lt|gt|quot|#39|hellip|ndash|middot|micro|times);).{0,9})/sg;
	push @faults, "a bracket: $1" if $page =~ s/<[^<>]*>/\0/gr =~ /(.?[<>].{0,20})/s;
	while ($page =~ /<([^<>]*)>/g)
	{
		my $tag = $1;
		if ($tag =~ m{^/(\w+)$})
		{
			my $expected = pop @open // 'none';
			push @faults, "$1 is closed, and not $expected" unless $1 eq $expected;
			next;
		}
		my ($name, $rest, $empty) = $tag =~ m{^(\w+)((?: [\w:-]+="[^"]*")*)(/?)$};
		if (!defined $name || !$ATTRIBUTES{$name})
		{
			push @faults, "the tag <$tag>";
			next;
		}
		while ($rest =~ / ([\w:-]+)="([^"]*)"/g)
		{
			push @faults, "the attribute $1 of $name" unless $ATTRIBUTES{$name}{$1};
			push @faults, "the identifier $2 twice" if $1 eq 'id' && $id{$2}++;
			push @referred, split / /, $2 if $1 eq 'aria-labelledby';
		}
		push @open, $name unless $empty || $name eq 'meta';
	}
	push @faults, "open: @open" if @open;
	push @faults, map { "no $_" } grep { !$id{$_} } @referred;
	return join "\n", @faults;
}

# The cells of the rows of a table, by its caption.
sub rows
{
	my ($page, $caption) = @_;
	my ($body) = $page =~ m{<caption>\Q$caption\E.*?<tbody>(.*?)</tbody>}s or return;
	return map { join '|', map { s/<svg.*?<\/svg>//sr =~ s/<[^>]*>//gr } m{<t[hd][^>]*>(.*?)</t[hd]>}gs } $body =~ m{<tr>(.*?)</tr>}gs;
}

# ---------- what is in it ----------

my $page = report('fraud');
is(faults($page), '', 'a page that is whole');
like($page, qr{<title>Model fraud</title>}, 'of the model');
my @versions = map { s/\|\d{4}-\d\d-\d\d \d\d:\d\d\|/|when|/r } rows($page, 'All versions');
is(scalar @versions, 3, 'all versions');
# 8 + 8 * 16 floats, of which the pruned one has at least half of the weights zero.
like($versions[2], qr/^#1\|\|.*\|:v1\|as trained\|postgres\|when\|136\|\d+\.\d %\|544 B\|.*\|auc 0\.875$/, 'the first one');
like($versions[1], qr/^#2\|fraud#1\|pruned: prune\(amount =&gt; 0\.5\)\|\@champion\/main\|half of the weights\|/, 'what it was made of, how, and its names');
like($versions[0], qr/^#3\|fraud#1\|quantized: quantize\(/, 'on a branch of its own');
# Columns are 100 high where all is zero: as high as the percentages that the table has.
my ($heights) = $page =~ m{<figcaption>Sparsity, of 100 %</figcaption>.*?<path class="mark" d="([^"]*)"}s;
my @sparsity = map { (split /\|/)[8] =~ s/ %//r } reverse @versions;
my @heights = map { /v-([\d.]+)/ } split /z/, $heights;
is(scalar @heights, scalar(grep { $_ > 0 } @sparsity), 'sparsity of versions that have any');
is(join(' ', map { sprintf '%.0f', $_ } @heights), join(' ', map { sprintf '%.0f', $_ } grep { $_ > 0 } @sparsity), 'is shown as a part of all');
my @tensors = rows($page, 'All tensors');
is(join(' ', map { (split /\|/)[0] } @tensors), 'bias weight', 'tensors');
like($tensors[0], qr/^bias\|f32\|8\|8\|32 B\|.*\|0\.0 %\|0\.5625\|0\.125\|1\|$/, 'with what is known of them');
my @latency = rows($page, 'Versions that were asked');
like($latency[0], qr/^#2\|100\|1,000\|1\|50\.\d ms\|/, 'latency');
like($page, qr{p99 (?:9[5-9]|10\d)}, 'and its plot');
my @drift = rows($page, 'Features');
is(join(' ', map { join ':', (split /\|/)[0, 2] } @drift), 'amount:drift age:ok all:no reference', 'drift, the worst first, and a version that is served and has no reference');
is(join(' ', map { join ':', (split /\|/)[3, 4] } (rows($page, 'Shares of bins'))[0 .. 9]), join(' ', ('10.0 %:0.0 %') x 4, ('10.0 %:10.0 %') x 5, '10.0 %:50.0 %'), 'and where it is');

is(on(q{BEGIN READ ONLY; SELECT modelopt.report_html('fraud') LIKE '<!DOCTYPE html>%'; COMMIT}), 't', 'where nothing may be written, as on a standby');

# Histograms by the server's own arithmetic: each plot has a column a bin that is not empty.
is(on(q{SELECT count(*) FROM (SELECT modelopt.get(ref) AS m, t.name FROM unnest('{fraud#1,fraud#2,fraud#3}'::text[]) ref, LATERAL tensors(modelopt.get(ref)) t) s,
	LATERAL (SELECT array_agg(x::float8) AS x, min(x)::float8 AS low, max(x)::float8 AS high FROM unnest(tensor(m, name)) x) v,
	unnest('{1,2,7,100}'::int[]) bins
	WHERE modelopt_private.tensor_histogram(m, name, low, high, bins)
		<> ARRAY(SELECT count(x) FROM generate_series(1, bins) bin LEFT JOIN unnest(v.x) x ON x <> 0 AND least(bins, 1 + floor((x - low) / (high - low) * bins)) = bin GROUP BY bin ORDER BY bin)}),
	'0', 'histograms are what arithmetic says');
like(fails(q{SELECT modelopt_private.tensor_histogram(modelopt.get('fraud'), 'bias', 0, 1, 0)}), qr/22023: a histogram has from 1 to 1000 bins/, 'of some bins');
like(fails(q{SELECT modelopt_private.tensor_histogram(modelopt.get('fraud'), 'bias', 0, 'NaN', 1)}), qr/22023: a histogram's bounds must be finite, and in order/, 'between bounds');
like(fails(q{SELECT modelopt_private.tensor_histogram(modelopt.get('fraud'), 'none', 0, 1, 1)}), qr/42704/, 'of a tensor that is there');

# ---------- who sees what ----------

on(q{CREATE ROLE looker; CREATE ROLE stranger; SELECT modelopt.grant_usage('fraud', 'looker')});
my $looked = report('fraud', 'looker');
is(faults($looked), '', 'a page for those who may use the model');
like($looked, qr/for those with the privilege <code>read<\/code>/, 'says that weights are not for them');
unlike($looked, qr/All tensors|Histogram of|>bias</, 'and has nothing of them');
is(scalar(rows($looked, 'All versions')), 3, 'but versions');
is(scalar(rows($looked, 'Versions that were asked')), 2, 'and latency');
like(fails(q{SET ROLE stranger; SELECT modelopt.report_html('fraud')}), qr/42501: permission denied for model "fraud"/, 'others see nothing');
like(fails(q{SELECT modelopt.report_html('none')}), qr/42704: model "none" does not exist/, 'of what is not there');
on(q{SELECT modelopt.grant_create('looker'); SET ROLE looker; SELECT modelopt.commit('mine', model_agg('w', '{1}'), 'mine', parents => '{fraud#2}'); RESET ROLE; SELECT modelopt.revoke('fraud', 'looker')});
is((split /\|/, (rows(report('mine', 'looker'), 'All versions'))[0])[1], '', 'nor where theirs is from if they may not see that any more');

# ---------- whatever people wrote ----------

my $HOSTILE = q{<script src="http://example.invalid/a.js">alert(1)</script>'"&amp;--></style><img src=http://example.invalid/b onerror=alert(2)>};
(my $quoted = $HOSTILE) =~ s/'/''/g;
on(qq{
	SELECT modelopt.commit('evil', model_agg(name, data ORDER BY name), '$quoted', params => jsonb_build_object('$quoted', '$quoted'), metrics => jsonb_build_object('$quoted', 1))
	FROM (VALUES ('$quoted', '{1,2}'::real[]), (E'\\x01\\x1b[31m', '{3,4}'), ('inf', '{Infinity,1}'), ('nan', '{NaN,NaN}'), ('none', '{}'), ('zero', '{0,0}')) v (name, data);
	SELECT modelopt.commit('evil', model_agg('w', '{1,1}'));
	SELECT modelopt.commit('evil', model_agg(name, data ORDER BY name), '$quoted') FROM (VALUES ('$quoted', '{1,2}'::real[]), ('inf', '{Infinity,1}'), ('nan', '{NaN,NaN}'), ('none', '{}'), ('zero', '{0,0}')) v (name, data);
	SELECT modelopt.describe('evil', '$quoted', '{}');
	SELECT modelopt.set_reference('evil#3', \$q\$SELECT i AS "<script>\$q\$ || \$q\$alert(3)</script>""'&", '$quoted'::text AS b FROM generate_series(1, 600) i\$q\$);
	SELECT driver.observe(m.id, 3, false, 1, array_agg(i::float8)) FROM modelopt_private.named_model m, generate_series(1, 600) i WHERE name = 'evil' GROUP BY m.id} =~ s/'$quoted'::text/'<script>alert(4)<\/script>'::text/r);
my $evil = report('evil');
is(faults($evil), '', 'names are text, whatever they are');
like($evil, qr/&lt;script src=&quot;http:/, 'and are there');
# People write more than a page has room for.
on(qq{SELECT modelopt.commit('wordy', model_agg(repeat('n', 1000), '{1}'), repeat('m', 100000)), modelopt.describe('wordy', repeat('&', 100000))});
my $wordy = report('wordy');
is(faults($wordy), '', 'a page of one who writes a lot');
cmp_ok(length $wordy, '<', 40000, 'is not longer for it');
my %tensor = map { my @cells = split /\|/; ($cells[0] => \@cells) } rows($evil, 'All tensors');
is($tensor{zero}[6], '100.0 %', 'a tensor of zeros');
is($tensor{none}[3], '0', 'one without elements');
ok(exists $tensor{nan} && exists $tensor{inf}, 'and some that are not finite');
on(q{SELECT modelopt.register('empty', 'nothing yet')});
is(faults(report('empty')), '', 'a model without versions');
on(q{SELECT modelopt.commit('many', model_agg('w', ARRAY[i]::real[])) FROM generate_series(1, 230) i GROUP BY i ORDER BY i});
my $many = report('many');
is(faults($many), '', 'a model with many versions');
is(scalar(rows($many, 'The newest 200 of 230 versions')), 200, 'has as many of them as fit');

# The other server has nothing preloaded.
create_database('page_plain');
query('page_plain', q{SELECT modelopt.commit('m', model_agg('w', '{1,2}'))});
my $plain = query('page_plain', q{SELECT modelopt.report_html('m')});
is(faults($plain), '', 'without statistics there is a page as well');
like($plain, qr/shared_preload_libraries/, 'which says why');

# ---------- in a browser ----------

SKIP:
{
	my $browser = find_program('chromium', 'chromium-browser');
	skip 'there is no chromium', 9 unless $browser;
	my $folder = File::Temp->newdir('modelopt.XXXXXX', TMPDIR => 1);
	my $output = realpath("$FindBin::RealBin/../..") . '/output_page';
	make_path($output);

	# Shows a page; returns what is in it then, what was logged, and what it asked for.
	my $show = sub {
		my ($text, @options) = @_;
		open my $file, '>', "$folder/page.html" or die $!;
		print $file $text;
		close $file;
		my ($status, $dom, $log) = run_command('', 'timeout', '120', $browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
			"--user-data-dir=$folder/profile", '--enable-logging=stderr', "--log-net-log=$folder/net.json", '--virtual-time-budget=3000', '--hide-scrollbars',
			'--timeout=20000', @options, "file://$folder/page.html");
		open my $net, '<', "$folder/net.json" or return ($dom, $log, 'no log');
		my $events = do { local $/ = undef; readline $net };
		# What a page asks for has an origin, what the browser does by itself has none.
		my %asked = map { my ($url) = /"url":"([^"]*)"/; defined $url ? ($url => 1) : () } grep { /"initiator":"(?!not an origin)/ } split /\n/, $events;
		return ($dom, join("\n", grep { /CONSOLE/ } split /\n/, $log), join ' ', sort keys %asked);
	};
	my ($dom, $console, $asked) = $show->($evil, '--dump-dom');
	like($dom, qr{<title>Model evil</title>}, 'a browser shows it');
	is($console, '', 'without a complaint');
	is($asked, '', 'nothing is fetched');
	unlike($dom, qr/<script|<img/, 'and no name is a tag');
	($dom, $console, $asked) = $show->('<!DOCTYPE html><img src="http://127.0.0.1:9/x.png"><script>console.error("seen")</script>', '--dump-dom');
	like("$console $asked", qr{seen.* http://127\.0\.0\.1:9/x\.png}, 'which would have been seen');

	for my $shape (['light', 1240, 2000], ['dark', 1240, 2000, '--blink-settings=preferredColorScheme=0'], ['narrow', 390, 2400])
	{
		my ($name, $width, $height, @options) = @$shape;
		$show->($page, "--screenshot=$output/$name.png", "--window-size=$width,$height", @options);
		my $picture = '';
		if (open my $file, '<:raw', "$output/$name.png")
		{
			local $/ = undef;
			$picture = readline $file;
		}
		# Width and height are in the first chunk of a PNG.
		is(join(' ', length $picture > 20000 ? 'a picture' : 'nothing', unpack 'x16 NN', $picture . "\0" x 24), "a picture $width $height", "$name: output_page/$name.png");
	}
	# On a telephone nothing is wider than the screen but tables, which scroll by themselves.
	($dom) = $show->($page =~ s{<meta http-equiv.*}{}r =~ s{</body>}{<script>document.title = document.documentElement.scrollWidth + ' ' + innerWidth</script></body>}r, '--dump-dom', '--window-size=500,900');
	like($dom, qr{<title>(\d+) \1</title>}, 'a narrow page does not scroll sideways');
}

done_testing();
