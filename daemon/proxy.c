/* proxy.c - PROXY protocol, versions 1 and 2. */
#include "config.h"

#include <arpa/inet.h>

#include "daemon/proxy.h"

#define FIRST 12
#define V1_MAX 107
#define V2_HEAD 16

static const uint8_t v2_magic[FIRST] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

int proxy_need(const uint8_t *buf, size_t len)
{
	size_t payload;

	if (len < FIRST)
		return (int)(FIRST - len);
	if (memcmp(buf, v2_magic, FIRST)) {
		if (memcmp(buf, "PROXY", 5))
			return -1;
		if (memchr(buf, '\n', len))
			return 0;
		return len < V1_MAX ? 1 : -1;
	}
	if (len < V2_HEAD)
		return (int)(V2_HEAD - len);
	payload = (size_t)buf[14] << 8 | buf[15];
	if (payload > PROXY_MAX - V2_HEAD)
		return -1;
	return (int)(V2_HEAD + payload - len);
}

static void set_v6(struct proxy_addr *out, const uint8_t a[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!memcmp(a, mapped, sizeof mapped)) {
		out->family = 4;
		memcpy(out->addr, a + 12, 4);
	} else {
		out->family = 6;
		memcpy(out->addr, a, 16);
	}
}

static bool good_port(const char *s)
{
	unsigned v = 0;

	if (!*s || strlen(s) > 5)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned)(*s - '0');
	}
	return v >= 1 && v <= 65535;
}

static bool parse_v1(const uint8_t *buf, size_t len, struct proxy_addr *out)
{
	char line[V1_MAX + 1], *word[5], *p;
	uint8_t src[16], dst[16];
	int family;

	if (len > V1_MAX || len < 8 || buf[len - 1] != '\n' || buf[len - 2] != '\r' ||
	    memchr(buf, '\r', len - 2) || memchr(buf, '\n', len - 1) || memchr(buf, '\0', len))
		return false;
	memcpy(line, buf, len - 2);
	line[len - 2] = '\0';
	if (line[5] != ' ' && line[5] != '\t')
		return false;
	p = line + 6;
	if (!strncmp(p, "UNKNOWN", 7))
		return true;
	if (!strncmp(p, "TCP4", 4))
		family = AF_INET;
	else if (!strncmp(p, "TCP6", 4))
		family = AF_INET6;
	else
		return false;
	p += 4;
	if (*p != ' ' && *p != '\t')
		return false;
	p++;
	for (int i = 0; i < 4; i++) {
		char *sp = strchr(p, ' ');

		word[i] = p;
		if (i == 3) {
			if (sp)
				return false;
			break;
		}
		if (!sp)
			return false;
		*sp = '\0';
		p = sp + 1;
	}
	if (inet_pton(family, word[0], src) != 1 || inet_pton(family, word[1], dst) != 1 || !good_port(word[2]) ||
	    !good_port(word[3]))
		return false;
	if (family == AF_INET6) {
		set_v6(out, src);
	} else {
		out->family = 4;
		memcpy(out->addr, src, 4);
	}
	return true;
}

static bool parse_v2(const uint8_t *buf, size_t len, struct proxy_addr *out)
{
	size_t payload = len - V2_HEAD;

	if (buf[12] >> 4 != 2)
		return false;
	switch (buf[12] & 15) {
	case 0:
		return true;
	case 1:
		break;
	default:
		return false;
	}
	if (buf[13] == 0x11) {
		if (payload < 12)
			return false;
		out->family = 4;
		memcpy(out->addr, buf + V2_HEAD, 4);
	} else if (buf[13] == 0x21) {
		if (payload < 36)
			return false;
		set_v6(out, buf + V2_HEAD);
	}
	return true;
}

bool proxy_parse(const uint8_t *buf, size_t len, struct proxy_addr *out)
{
	*out = (struct proxy_addr){ 0 };
	if (len < FIRST || proxy_need(buf, len) != 0)
		return false;
	return memcmp(buf, v2_magic, FIRST) ? parse_v1(buf, len, out) : parse_v2(buf, len, out);
}
