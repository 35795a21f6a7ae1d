package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// request is one call as it was sent; its parts point into the text.
type request struct {
	// id is echoed as it was written; nil makes the request a notification, which
	// is not answered.
	id     []byte
	method string
	// params is an object or a list; nil where there are none.
	params []byte
}

// checkText makes sure that what follows may trust the text to be JSON in UTF-8.
func checkText(text []byte) *rpc.Error {
	if !utf8.Valid(text) {
		return &rpc.Error{Code: rpc.CodeParse, Message: fmt.Sprintf("the request is not UTF-8 at byte %d", invalidUTF8(text))}
	}
	if json.Valid(text) {
		return nil
	}
	if len(text) == 0 {
		return &rpc.Error{Code: rpc.CodeParse, Message: "the request is empty"}
	}
	// Only now is it worth finding out where.
	err := json.Unmarshal(text, new(json.RawMessage))
	where := ""
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		where = fmt.Sprintf(" at byte %d", syntax.Offset)
	}
	return &rpc.Error{Code: rpc.CodeParse, Message: fmt.Sprintf("the request is not JSON: %v%s", err, where)}
}

// invalidUTF8 answers the place of the first byte that is not UTF-8.
func invalidUTF8(text []byte) int {
	for at := 0; at < len(text); {
		char, size := utf8.DecodeRune(text[at:])
		if char == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(text)
}

// parseRequest reads the envelope of one call strictly. Where it is wrong, the
// request still has the id, if that could be told.
func parseRequest(text []byte) (request, *rpc.Error) {
	var r request
	if len(text) == 0 || text[0] != '{' {
		return r, invalidRequest("a request is an object with jsonrpc, method, params and id")
	}
	var version, method []byte
	var wrong *rpc.Error
	for key, value := range members(text) {
		var part *[]byte
		switch key {
		case "jsonrpc":
			part = &version
		case "id":
			part = &r.id
		case "method":
			part = &method
		case "params":
			part = &r.params
		default:
			wrong = invalidRequest("a request has no member %q, only jsonrpc, method, params and id", shorten([]byte(key)))
			continue
		}
		if *part != nil {
			wrong = invalidRequest("the request has %q twice", key)
			continue
		}
		*part = value
	}
	if r.id != nil && (r.id[0] == '{' || r.id[0] == '[' || r.id[0] == 't' || r.id[0] == 'f') {
		r.id = nil
		return r, invalidRequest("an id is a string, a number or null")
	}
	switch {
	case wrong != nil:
	case version == nil:
		wrong = invalidRequest(`the request has no "jsonrpc": "2.0"`)
	case string(version) != `"2.0"`:
		wrong = invalidRequest(`"jsonrpc" is %s, and only "2.0" is understood`, shorten(version))
	case method == nil:
		wrong = invalidRequest("the request names no method")
	case method[0] != '"':
		wrong = invalidRequest("the method is %s, and not a string", shorten(method))
	case r.params == nil, r.params[0] == '{', r.params[0] == '[':
	case string(r.params) == "null":
		// Written by clients that have no parameters to send.
		r.params = nil
	default:
		wrong = invalidRequest("the parameters are %s, and not an object", shorten(r.params))
	}
	if wrong == nil {
		r.method = unquote(method)
	}
	return r, wrong
}

func invalidRequest(format string, args ...any) *rpc.Error {
	return &rpc.Error{Code: rpc.CodeInvalidRequest, Message: fmt.Sprintf(format, args...)}
}

// shorten keeps what somebody sent from making an error message of its own size.
func shorten(text []byte) string {
	const most = 64
	if len(text) <= most {
		return string(text)
	}
	return string(bytes.ToValidUTF8(text[:most], nil)) + "…"
}

// The rest walks through text that checkText has accepted, without copying it.

// members yields the names and values of an object.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for at := afterSpace(object, 1); object[at] != '}'; {
			end := afterValue(object, at)
			name := unquote(object[at:end])
			at = afterSpace(object, afterSpace(object, end)+1) // the colon
			end = afterValue(object, at)
			if !yield(name, object[at:end]) {
				return
			}
			at = afterComma(object, end)
		}
	}
}

// elements yields the values of a list.
func elements(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := afterSpace(list, 1); list[at] != ']'; {
			end := afterValue(list, at)
			if !yield(list[at:end]) {
				return
			}
			at = afterComma(list, end)
		}
	}
}

// afterComma goes from the end of one value to the begin of the next, or to the
// bracket that ends them.
func afterComma(text []byte, at int) int {
	at = afterSpace(text, at)
	if text[at] == ',' {
		at = afterSpace(text, at+1)
	}
	return at
}

func afterSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// afterValue answers where the value that begins at a place ends. It counts
// brackets instead of calling itself: no nesting is too deep for it.
func afterValue(text []byte, at int) int {
	depth := 0
	for ; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = closingQuote(text, at)
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':', ' ', '\n', '\t', '\r':
			continue
		default:
			at = lastOfWord(text, at)
		}
		if depth == 0 {
			return at + 1
		}
	}
	return at
}

// closingQuote answers the place of the quote that ends the string at a place.
func closingQuote(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at
}

// lastOfWord answers the last byte of a number, true, false or null.
func lastOfWord(text []byte, at int) int {
	for at+1 < len(text) && strings.IndexByte(",]} \n\t\r", text[at+1]) < 0 {
		at++
	}
	return at
}

// unquote reads a JSON string.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		// It cannot fail on valid JSON; the quoted form names nothing we know.
		return string(quoted)
	}
	return text
}
