# What the catalogs say of the extension's objects.
use strict;
use warnings;

use Test::More;

use Session qw(create_database query);

create_database('catalog');

# Each object that belongs to the extension, by name.
my $MEMBERS = q{
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS what
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'modelopt')};
my $FUNCTIONS = qq{
	SELECT p.* FROM pg_proc p JOIN ($MEMBERS) e ON classid = 'pg_proc'::regclass AND objid = p.oid};

cmp_ok(query('catalog', "SELECT count(*) FROM ($FUNCTIONS) f"), '>', 25, 'the extension has functions');

is(query('catalog', qq{
	SELECT what FROM ($MEMBERS) e
	WHERE classid IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass)
	AND obj_description(objid, classid::regclass::name) IS NULL
	AND what NOT LIKE 'type %[]' ORDER BY 1}), '', 'every function, type and operator has a comment');

is(query('catalog', qq{SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE provolatile <> 'i' ORDER BY 1}),
	"model_load(text,text,text,boolean,boolean)\nmodel_save(model,text,text,text)",
	'every function of a model value is immutable, and those of files are not');
is(query('catalog', qq{SELECT oid::regprocedure FROM ($FUNCTIONS) f WHERE proparallel <> 's'}),
	'model_save(model,text,text,text)', 'what does not write is safe in parallel workers');

# Null in, null out; what takes a null as "not given" is not strict and says so
# by having that default.
is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f
	WHERE NOT proisstrict AND prokind = 'f' AND pg_get_function_arguments(oid) !~ 'DEFAULT NULL'
	AND proname NOT LIKE 'model\\_agg\\_%fn' AND proname NOT LIKE 'model\\_set%'
	AND proname NOT IN ('set_graph', 'cut_layers', 'cut_layers_dry_run')}), '',
	'functions are strict unless null is one of their defaults, or would make an end of a model');

is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f
	WHERE prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND prosrc NOT LIKE 'modelopt\\_%'}), '',
	'C symbols carry the name of the module');

is(query('catalog', qq{
	SELECT oid::regprocedure FROM ($FUNCTIONS) f
	WHERE pronargs > 2 AND NOT coalesce(proargnames[1:pronargs], '{}') <> '{}' AND prokind = 'f'}), '',
	'arguments that one would have to count have names');

# What a bare literal could mean must not be in doubt.
is(query('catalog', q{SELECT num_parameters(prune(model_agg('w', '{{1,2},{3,4}}'), 0.5))}), 4, 'prune(m, 0.5) is unambiguous');

is(query('catalog', q{
	SELECT typlen, typbyval, typcategory, typstorage, typalign, typdelim FROM pg_type WHERE oid = 'model'::regtype}),
	'-1|f|U|e|d|,', 'the type is stored EXTERNAL, aligned to 8');
is(query('catalog', q{
	SELECT castsource::regtype, casttarget::regtype, castcontext FROM pg_cast
	WHERE 'model'::regtype IN (castsource, casttarget) ORDER BY 1}),
	"bytea|model|e\nmodel|bytea|e", 'its casts are explicit ones, and no others');
is(query('catalog', q{
	SELECT amname, opcname, opcdefault FROM pg_opclass JOIN pg_am a ON a.oid = opcmethod
	WHERE opcintype = 'model'::regtype}), 'hash|model_ops|t', 'it hashes, and does not sort');
is(query('catalog', q{SELECT amvalidate(oid) FROM pg_opclass WHERE opcintype = 'model'::regtype}), 't', 'the operator class is valid');

is(query('catalog', q{SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'modelopt'}), '0.1.0|t', 'version and relocation');
is(query('catalog', q{SELECT superuser, trusted FROM pg_available_extension_versions WHERE name = 'modelopt'}), 't|t', 'it is trusted');
is(query('catalog', qq{
	SELECT count(*) FROM ($MEMBERS) e WHERE classid NOT IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass,
	'pg_cast'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass)}), 0, 'it makes no tables, schemas, roles or settings');

done_testing();
