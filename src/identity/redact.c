// SPDX-License-Identifier: Apache-2.0
#include "identity/redact.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"

/*
 * When in doubt, redact: a word too many costs a reader a glance, a word too few costs a
 * password. An argument with spaces in it (sh -c "...") is taken apart like a command line of its
 * own.
 */
struct text {
	const char *p;
	size_t len;
};

/* What the next word is. */
enum next { NEXT_PLAIN, NEXT_SECRET, NEXT_USER_SECRET };

struct program {
	const char *names;	/* separated by blanks; "mysql*" is a prefix */
	const char *secret;	/* letters of options whose value is a secret */
	const char *userpass;	/* letters of options whose value is user:secret, or user%secret */
	const char *only_after; /* a word that has to stand before, or NULL */
};

static const struct program programs[] = {
	{ "mysql* mariadb* mycli mytop", "p", "", NULL },
	{ "sshpass mongo* cqlsh rabbitmqadmin influx 7z 7za 7zr 7zz rar unrar", "p", "", NULL },
	{ "docker podman nerdctl buildah skopeo helm oc crane regctl az cf", "p", "", "login" },
	{ "redis-cli valkey-cli keydb-cli", "a", "", NULL },
	{ "ldap*", "w", "", NULL },
	{ "mosquitto_* sqlcmd bcp osql isql tsql ipmitool zip unzip", "P", "", NULL },
	{ "snmp*", "AXac", "", NULL },
	{ "curl", "b", "uU", NULL },
	{ "smbclient rpcclient lftp ab", "", "uUAP", NULL },
	{ "openssl", "kK", "", NULL },
};

/* A name that contains one of these, its separators left out, names a secret. */
static const char *const secret_parts[] = {
	"password",	 "passwd", "passphrase", "passcode",   "passin",  "passout",
	"secret",	 "token",  "apikey",	 "credential", "bearer",  "cookie",
	"authorization", "oauth",  "sessionid",	 "signature",  "webhook",
};

/* One of these as a word of a name does, too. */
static const char *const secret_words[] = { "pass", "pwd", "pw",  "auth", "sig",
					    "jwt",  "psk", "otp", "creds" };

/* A name whose last word is one of these holds where the secret is, or about it. */
static const char *const plain_last_words[] = {
	"file", "path",	   "dir",    "stdin", "prompt",	  "type",   "name",	"url",	  "uri",
	"ttl",	"timeout", "length", "size",  "lifetime", "method", "provider", "policy", "mode",
};

/* Values that are a setting, not a secret. */
static const char *const plain_values[] = { "true", "false", "yes", "no", "on", "off", "none" };

/* Tokens that are known by how they begin. */
static const struct {
	const char *prefix;
	size_t min_more; /* characters of a token behind the prefix */
} token_prefixes[] = {
	{ "AKIA", 12 },
	{ "ASIA", 12 },
	{ "eyJ", 10 },
	{ "ghp_", 16 },
	{ "gho_", 16 },
	{ "ghu_", 16 },
	{ "ghs_", 16 },
	{ "ghr_", 16 },
	{ "github_pat_", 16 },
	{ "glpat-", 12 },
	{ "glsa_", 16 },
	{ "xoxb-", 8 },
	{ "xoxp-", 8 },
	{ "xoxa-", 8 },
	{ "xoxr-", 8 },
	{ "xoxs-", 8 },
	{ "xapp-", 8 },
	{ "sk-", 16 },
	{ "sk_live_", 8 },
	{ "sk_test_", 8 },
	{ "rk_live_", 8 },
	{ "AIza", 20 },
	{ "npm_", 16 },
	{ "hf_", 16 },
	{ "dop_v1_", 16 },
	{ "SG.", 16 },
	{ "ya29.", 16 },
	{ "hvs.", 12 },
	{ "pypi-", 16 },
	{ "AGE-SECRET-KEY-", 8 },
	{ "hooks.slack.com/services/", 8 },
	{ "discord.com/api/webhooks/", 8 },
};

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_token_char(char c)
{
	return is_name_char(c) || c == '+' || c == '/' || c == '=' || c == '~';
}

static struct text text_skip(struct text t, size_t n)
{
	return (struct text){ t.p + n, t.len - n };
}

static bool text_is(struct text t, const char *word)
{
	return t.len == strlen(word) && !strncasecmp(t.p, word, t.len);
}

static bool text_is_any(struct text t, const char *const *words, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++)
		if (text_is(t, words[i]))
			return true;
	return false;
}

static bool text_begins(struct text t, const char *prefix)
{
	return t.len >= strlen(prefix) && !memcmp(t.p, prefix, strlen(prefix));
}

/* --- names ------------------------------------------------------------------------------------ */

/* A word ends at '-', '_', '.', and where a small letter meets a big one. */
static struct text first_word(struct text name)
{
	size_t n = 0;

	while (n < name.len && isalnum((unsigned char)name.p[n])) {
		n++;
		if (n < name.len && islower((unsigned char)name.p[n - 1]) &&
		    isupper((unsigned char)name.p[n]))
			break;
	}
	return (struct text){ name.p, n };
}

/*
 * Without separators and in small letters; longer names are cut at their begin, where it matters
 * less.
 */
static size_t squeeze(struct text name, char *out, size_t size)
{
	size_t n = 0;

	if (name.len >= size)
		name = text_skip(name, name.len - size + 1);
	for (size_t i = 0; i < name.len; i++)
		if (isalnum((unsigned char)name.p[i]))
			out[n++] = (char)tolower((unsigned char)name.p[i]);
	out[n] = '\0';
	return n;
}

static bool has_secret_word(struct text name, struct text *ret_last, unsigned int *ret_n)
{
	bool found = false;
	struct text word;

	*ret_last = (struct text){ 0 };
	*ret_n = 0;
	while (name.len) {
		word = first_word(name);
		if (!word.len) {
			name = text_skip(name, 1);
			continue;
		}
		found |= text_is_any(word, secret_words, ARRAY_SIZE(secret_words));
		*ret_last = word;
		(*ret_n)++;
		name = text_skip(name, word.len);
	}
	return found;
}

static bool ends_in_pass(const char *name, size_t len)
{
	return len > 4 && !strcmp(name + len - 4, "pass") && !strstr(name, "bypass") &&
	       !strstr(name, "compass");
}

/* Does a parameter of this name hold a secret? */
static bool name_is_secret(struct text name)
{
	char squeezed[128];
	unsigned int n_words;
	struct text last;
	size_t len;
	bool found = has_secret_word(name, &last, &n_words);

	if (text_begins(name, "--no-") ||
	    text_is_any(last, plain_last_words, ARRAY_SIZE(plain_last_words)))
		return false;
	/* "--api-key", but not "--key", which mostly is a file. */
	if (found || (n_words > 1 && text_is(last, "key")))
		return true;
	len = squeeze(name, squeezed, sizeof(squeezed));
	for (size_t i = 0; i < ARRAY_SIZE(secret_parts); i++)
		if (strstr(squeezed, secret_parts[i]))
			return true;
	return ends_in_pass(squeezed, len);
}

/* PWD=/srv and --client-key=/etc/x.pem are places. */
static bool value_is_place(struct text name, struct text value)
{
	return value.len && value.p[0] == '/' &&
	       (text_is(name, "PWD") || text_is(name, "OLDPWD") ||
		(name.len > 3 && !strncasecmp(name.p + name.len - 3, "key", 3)));
}

static void add_text(struct buf *out, struct text t)
{
	buf_add(out, t.p, t.len);
}

static void add_secret(struct buf *out, struct text value)
{
	if (!value.len || text_is_any(value, plain_values, ARRAY_SIZE(plain_values)))
		add_text(out, value);
	else
		buf_adds(out, REDACTED);
}

/* --- inside a word ---------------------------------------------------------------------------- */

/*
 * At @t.p: a token known by its prefix? Its length, or 0. A word that was cut needs less of it.
 */
static size_t token_length(struct text t, bool cut)
{
	size_t n, prefix;

	for (size_t i = 0; i < ARRAY_SIZE(token_prefixes); i++) {
		if (!text_begins(t, token_prefixes[i].prefix))
			continue;
		prefix = strlen(token_prefixes[i].prefix);
		for (n = prefix; n < t.len && is_token_char(t.p[n]); n++)
			;
		if (n - prefix >= token_prefixes[i].min_more || (cut && n == t.len))
			return n;
	}
	return 0;
}

/* In a URL that was cut before a possible '@': does "user:secret" or "host:port/" begin it? */
static bool begins_with_userinfo(struct text t)
{
	size_t i = 0;

	while (i < t.len && t.p[i] != ':' && t.p[i] != '/')
		i++;
	if (i == t.len || t.p[i] == '/')
		return false;
	for (i++; i < t.len && isdigit((unsigned char)t.p[i]); i++)
		;
	return i == t.len || t.p[i] != '/';
}

/*
 * @t begins behind "://". Write user and password, the latter redacted, and return how much of
 * @t that was. A password may hold any character, so all up to the last '@' counts.
 */
static size_t add_userinfo(struct buf *out, struct text t, bool cut)
{
	size_t end = 0, at = 0, colon = 0;

	while (end < t.len && !isspace((unsigned char)t.p[end]) && !strchr("\"'<>", t.p[end])) {
		if (t.p[end] == '@')
			at = end;
		end++;
	}
	if (!at && cut && end == t.len && begins_with_userinfo(t))
		at = end;
	while (colon < at && t.p[colon] != ':')
		colon++;
	/* A user alone, as in ssh://git@host, is none; a long one is a token. */
	if (colon == at && at < 16)
		return 0;
	buf_add(out, t.p, colon == at ? 0 : colon + 1);
	buf_adds(out, REDACTED);
	return at;
}

/* The run of name characters that ends right before @end, quotes in between left out. */
static struct text name_ending(struct text t, size_t end)
{
	size_t begin;

	while (end && strchr("\"'\\", t.p[end - 1]))
		end--;
	for (begin = end; begin && is_name_char(t.p[begin - 1]); begin--)
		;
	return (struct text){ t.p + begin, end - begin };
}

/*
 * Where does the value end that begins at @t.p[from]? In quotes at their end; in a query of a URL
 * at the next parameter; else with the word.
 */
static size_t value_end(struct text t, size_t from, char before)
{
	size_t i = from;
	char quote;

	if (i < t.len && t.p[i] == '\\')
		i++;
	quote = i < t.len && strchr("\"'", t.p[i]) ? t.p[i] : 0;
	if (quote) {
		for (i++; i < t.len && t.p[i] != quote; i++)
			if (t.p[i] == '\\' && t.p[from] != '\\' && i + 1 < t.len)
				i++;
		return i < t.len ? i + 1 : i;
	}
	if (before != '?' && before != '&')
		return t.len;
	while (i < t.len && t.p[i] != '&' && t.p[i] != '#')
		i++;
	return i;
}

/* Is the ':' at @at one behind a name as in a header, in JSON, in "pass:x"? */
static bool colon_assigns(struct text t, size_t at, struct text name)
{
	static const char *const words[] = {
		"pass",	  "password",  "passwd", "authorization", "proxy-authorization",
		"cookie", "set-cookie"
	};

	if (at + 1 < t.len && (isspace((unsigned char)t.p[at + 1]) || strchr("\"'", t.p[at + 1])))
		return true;
	if (at && strchr("\"'", t.p[at - 1]))
		return true;
	return text_is_any(name, words, ARRAY_SIZE(words)) ||
	       (name.len > 2 && !strncasecmp(name.p, "x-", 2));
}

/*
 * At @t.p[at] stands '=' or ':'. If a secret is assigned there, write it redacted and return
 * where it ends; else @at.
 */
static size_t add_assigned(struct buf *out, struct text t, size_t at)
{
	struct text name = name_ending(t, at), value;
	char before = name.p > t.p ? name.p[-1] : 0;
	size_t from = at + 1, end;

	if (!name.len || (t.p[at] == ':' && !colon_assigns(t, at, name)) || !name_is_secret(name))
		return at;
	while (from < t.len && isspace((unsigned char)t.p[from]))
		from++;
	end = value_end(t, from, before);
	value = (struct text){ t.p + from, end - from };
	if (!value.len || value_is_place(name, value))
		return at;
	buf_add(out, t.p + at, from - at);
	add_secret(out, value);
	return end;
}

/* A word that as a whole is nothing special: what is in it? */
static void add_inside(struct buf *out, struct text t, bool cut)
{
	size_t i = 0, n;

	while (i < t.len) {
		n = 0;
		if (!i || !isalnum((unsigned char)t.p[i - 1]))
			n = token_length(text_skip(t, i), cut);
		if (n) {
			buf_adds(out, REDACTED);
		} else if (t.p[i] == '=' || t.p[i] == ':') {
			n = add_assigned(out, t, i) - i;
		}
		if (!n && text_begins(text_skip(t, i), "://")) {
			buf_adds(out, "://");
			i += 3;
			i += add_userinfo(out, text_skip(t, i), cut);
			continue;
		}
		if (!n) {
			buf_addc(out, t.p[i]);
			n = 1;
		}
		i += n;
	}
}

/* "user:secret", also "user%secret" and "user,secret". One word alone is a user. */
static void add_user_secret(struct buf *out, struct text value, bool cut)
{
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] != ':' && value.p[i] != '%' && value.p[i] != ',')
			continue;
		buf_add(out, value.p, i + 1);
		add_secret(out, text_skip(value, i + 1));
		return;
	}
	add_inside(out, value, cut);
}

/* --- a word ----------------------------------------------------------------------------------- */

struct line {
	const struct program *program;
	bool only_after_seen;
	enum next next;
};

static bool program_is(const struct program *p, struct text base)
{
	const char *name = p->names;
	size_t n;

	while (*name) {
		n = strcspn(name, " ");
		if (name[n - 1] == '*' ? base.len >= n - 1 && !memcmp(base.p, name, n - 1)
				       : base.len == n && !memcmp(base.p, name, n))
			return true;
		name += n;
		name += *name == ' ';
	}
	return false;
}

/* A word may name the program, also behind sudo, env or timeout. */
static void line_note_program(struct line *line, struct text word)
{
	struct text base = word;

	for (size_t i = 0; i < word.len; i++)
		if (word.p[i] == '/')
			base = text_skip(word, i + 1);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (program_is(&programs[i], base)) {
			line->program = &programs[i];
			line->only_after_seen = !programs[i].only_after;
			return;
		}
	}
	if (line->program && line->program->only_after && text_is(word, line->program->only_after))
		line->only_after_seen = true;
}

/* Letters only, the last one of @letters: "-sSu" is "-s -S -u". */
static bool is_cluster(struct text w, const char *letters)
{
	for (size_t i = 1; i < w.len; i++)
		if (!isalpha((unsigned char)w.p[i]))
			return false;
	return w.len > 2 && strchr(letters, w.p[w.len - 1]);
}

/* "-p secret", "-psecret" of programs that are known to take one so. True if it was such. */
static bool add_short_option(struct buf *out, struct line *line, struct text w, bool cut)
{
	const struct program *p = line->program;
	bool secret, userpass;

	if (!p || !line->only_after_seen || w.len < 2 || w.p[0] != '-' ||
	    !isalpha((unsigned char)w.p[1]))
		return false;
	secret = strchr(p->secret, w.p[1]);
	userpass = strchr(p->userpass, w.p[1]);
	if (!secret && !userpass && is_cluster(w, p->userpass)) {
		add_text(out, w);
		line->next = NEXT_USER_SECRET;
		return true;
	}
	if (!secret && !userpass)
		return false;
	buf_add(out, w.p, 2);
	if (w.len == 2)
		line->next = secret ? NEXT_SECRET : NEXT_USER_SECRET;
	else if (secret)
		add_secret(out, text_skip(w, 2));
	else
		add_user_secret(out, text_skip(w, 2), cut);
	return true;
}

/* "--password", "password", "Bearer", "\"password\":": is the next word a secret? */
static enum next next_after(struct text w)
{
	static const char *const bare[] = { "password", "passwd", "passphrase",
					    "psk",	"bearer", "basic" };
	static const char *const user_options[] = { "--user", "--proxy-user" };
	struct text name = w;
	bool option = w.len && w.p[0] == '-', colon;

	if (text_is_any(w, user_options, ARRAY_SIZE(user_options)))
		return NEXT_USER_SECRET;
	colon = w.len && (w.p[w.len - 1] == ':' || w.p[w.len - 1] == '=');
	name = name_ending(w, w.len - colon);
	if (!name.len)
		return NEXT_PLAIN;
	if (option || colon)
		return (name.p == w.p || colon) && name_is_secret(name) ? NEXT_SECRET : NEXT_PLAIN;
	if (name.len > 4 && !strncasecmp(name.p + name.len - 4, ".psk", 4))
		return NEXT_SECRET;
	return text_is_any(w, bare, ARRAY_SIZE(bare)) ? NEXT_SECRET : NEXT_PLAIN;
}

/* Write what the option before announced. False if @w is an option itself and not that. */
static bool add_announced(struct buf *out, struct line *line, struct text w, bool cut)
{
	static const char *const schemes[] = { "bearer", "basic", "digest", "token" };
	enum next next = line->next;

	line->next = NEXT_PLAIN;
	if (next == NEXT_PLAIN || text_begins(w, "--"))
		return false;
	if (next == NEXT_USER_SECRET) {
		add_user_secret(out, w, cut);
	} else if (text_is_any(w, schemes, ARRAY_SIZE(schemes))) {
		add_text(out, w);
		line->next = NEXT_SECRET;
	} else {
		add_secret(out, w);
	}
	return true;
}

static void add_word(struct buf *out, struct line *line, struct text w, bool cut)
{
	if (add_announced(out, line, w, cut) || add_short_option(out, line, w, cut))
		return;
	if (w.len && w.p[0] != '-')
		line_note_program(line, w);
	line->next = next_after(w);
	add_inside(out, w, cut);
}

/* --- an argument ------------------------------------------------------------------------------ */

/* The length of the shell word that @t begins with: quotes keep blanks together. */
static size_t word_length(struct text t)
{
	char quote = 0;
	size_t i;

	for (i = 0; i < t.len; i++) {
		if (t.p[i] == '\\' && i + 1 < t.len)
			i++;
		else if (quote)
			quote = t.p[i] == quote ? 0 : quote;
		else if (strchr("\"'", t.p[i]))
			quote = t.p[i];
		else if (isspace((unsigned char)t.p[i]) || strchr(";|&()", t.p[i]))
			break;
	}
	return i;
}

static bool has_blank(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (isspace((unsigned char)t.p[i]))
			return true;
	return false;
}

/* "Authorization: Bearer x" and "--password=with blanks": all behind the name is the secret. */
static bool add_assignment(struct buf *out, struct text t)
{
	size_t i = 0, mark = out->len;

	while (i < t.len && is_name_char(t.p[i]))
		i++;
	if (!i || i + 1 >= t.len || (t.p[i] != '=' && t.p[i] != ':'))
		return false;
	buf_add(out, t.p, i);
	if (add_assigned(out, t, i) == t.len)
		return true;
	if (!out->failed)
		out->len = mark;
	return false;
}

/*
 * Is @t one quoted string, its end perhaps cut off? Then what is in it. A quote within, as in
 * "a":"b", makes it none.
 */
static bool unquote(struct text t, struct text *ret_inner)
{
	size_t i;

	if (t.len < 2 || !strchr("\"'", t.p[0]))
		return false;
	for (i = 1; i < t.len && t.p[i] != t.p[0]; i++)
		if (t.p[i] == '\\')
			i++;
	if (i + 1 < t.len)
		return false;
	*ret_inner = (struct text){ t.p + 1, (i < t.len ? i : t.len) - 1 };
	return true;
}

/* Quoted words are lines again: each is shorter than what it stands in. */
static void add_argument(struct buf *out, struct line *line, struct text t, bool cut)
{
	struct line inner_line = { 0 };
	struct text inner, word;
	size_t n;

	if (text_begins(t, "--"))
		line->next = NEXT_PLAIN;
	if (line->next == NEXT_PLAIN && unquote(t, &inner)) {
		buf_addc(out, t.p[0]);
		add_argument(out, line, inner, cut && inner.len + 1 == t.len);
		add_text(out, text_skip(t, inner.len + 1));
		return;
	}
	if (line->next != NEXT_PLAIN || !has_blank(t)) {
		add_word(out, line, t, cut);
		return;
	}
	if (add_assignment(out, t))
		return;
	while (t.len) {
		n = word_length(t);
		word = (struct text){ t.p, n };
		if (n && unquote(word, &inner))
			add_argument(out, &inner_line, word, cut && n == t.len);
		else if (n)
			add_word(out, &inner_line, word, cut && n == t.len);
		else
			buf_addc(out, t.p[n++]);
		t = text_skip(t, n);
	}
}

static char *redact_argument(struct line *line, struct text t, bool cut)
{
	const char *key = memmem(t.p, t.len, "-----BEGIN", 10);
	struct buf out = { 0 };

	if (key)
		t.len = (size_t)(key - t.p);
	add_argument(&out, line, t, cut && !key);
	if (key)
		buf_adds(&out, REDACTED);
	if (cut)
		buf_adds(&out, "...");
	return buf_take(&out);
}

static unsigned int count_arguments(const char *data, size_t len)
{
	unsigned int n = 0;

	for (size_t i = 0; i < len; i++)
		n += !data[i];
	return n + (len && data[len - 1]);
}

char **redact_args(const char *data, size_t len, bool cut, unsigned int *ret_n)
{
	const char *p = data, *end;
	struct line line = { 0 };
	unsigned int n = 0, n_max;
	char **args;
	size_t word;
	bool whole;

	*ret_n = 0;
	while (!cut && len && !data[len - 1] && (len == 1 || !data[len - 2]))
		len--;
	end = data + len;
	n_max = count_arguments(data, len);
	args = n_max ? calloc(n_max + 1, sizeof(*args)) : NULL;
	while (args && p < end) {
		word = strnlen(p, (size_t)(end - p));
		whole = p + word < end;
		args[n] = redact_argument(&line, (struct text){ p, word }, cut && !whole);
		if (!args[n])
			break;
		n++;
		p += word + whole;
	}
	if (args && cut && !end[-1] && n == n_max && (args[n] = strdup("...")))
		n++;
	*ret_n = n;
	return args;
}
