// SPDX-License-Identifier: Apache-2.0
#include "query/filter_scan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char filter_scan_spaces[] = " \t\n\r\v\f";
/* What ends a word. */
static const char specials[] = " \t\n\r\v\f()=!\"'";

/* The length of the quoted text, quotes included; 0 if it doesn't end. */
static size_t quoted_len(const char *text)
{
	for (size_t i = 1; text[i]; i++) {
		if (text[i] == *text)
			return i + 1;
		if (text[i] == '\\' && text[i + 1])
			i++;
	}
	return 0;
}

static enum filter_token token_at(const char *text, size_t *ret_len)
{
	*ret_len = 1;
	switch (*text) {
	case '\0': *ret_len = 0; return FILTER_TOKEN_END;
	case '(': return FILTER_TOKEN_OPEN;
	case ')': return FILTER_TOKEN_CLOSE;
	case '=': return FILTER_TOKEN_IS;
	case '!':
		*ret_len = text[1] == '=' ? 2 : 1;
		return text[1] == '=' ? FILTER_TOKEN_IS_NOT : FILTER_TOKEN_BANG;
	case '"':
	case '\'':
		*ret_len = quoted_len(text);
		return *ret_len ? FILTER_TOKEN_QUOTED : FILTER_TOKEN_UNCLOSED;
	default: *ret_len = strcspn(text, specials); return FILTER_TOKEN_WORD;
	}
}

void filter_scan_next(struct filter_scan *s)
{
	size_t len;

	s->at = s->end + strspn(s->text + s->end, filter_scan_spaces);
	s->token = token_at(s->text + s->at, &len);
	s->end = s->at + len;
}

bool filter_scan_at(const struct filter_scan *s, const char *word)
{
	size_t len = s->end - s->at;

	return s->token == FILTER_TOKEN_WORD && strlen(word) == len &&
	       !memcmp(s->text + s->at, word, len);
}

bool filter_scan_take(struct filter_scan *s, const char *word)
{
	if (!filter_scan_at(s, word))
		return false;
	filter_scan_next(s);
	return true;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

const char *filter_scan_show(const char *text, size_t len, char ret_text[FILTER_SHOWN_SIZE])
{
	size_t n = len < FILTER_SHOWN_MAX ? len : FILTER_SHOWN_MAX;

	while (n < len && n && is_continuation(text[n]))
		n--;
	for (size_t i = 0; i < n; i++)
		ret_text[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	memcpy(ret_text + n, n < len ? "..." : "", n < len ? 4 : 1);
	return ret_text;
}

size_t filter_scan_column(const struct filter_scan *s, size_t at)
{
	size_t n = 1;

	for (size_t i = 0; i < at; i++)
		n += !is_continuation(s->text[i]);
	return n;
}

int filter_scan_error(struct filter_scan *s, size_t at, int errnum, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(s->e, errnum, "filter: column %zu: %s", filter_scan_column(s, at), text);
}

int filter_scan_expected(struct filter_scan *s, const char *what)
{
	char text[FILTER_SHOWN_SIZE];

	if (s->token == FILTER_TOKEN_END)
		return filter_scan_error(s, s->at, EINVAL, "expected %s, found the end", what);
	if (s->token == FILTER_TOKEN_UNCLOSED)
		return filter_scan_error(s, s->at, EINVAL,
					 "expected %s, found a quote (%c) that nothing closes",
					 what, s->text[s->at]);
	return filter_scan_error(s, s->at, EINVAL, "expected %s, found '%s'", what,
				 filter_scan_show(s->text + s->at, s->end - s->at, text));
}

int filter_scan_no_memory(struct filter_scan *s)
{
	return err_set(s->e, ENOMEM, "filter: out of memory");
}
