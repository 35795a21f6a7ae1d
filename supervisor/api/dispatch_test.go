package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// difference is a method of the examples in the JSON-RPC specification.
type difference struct {
	Minuend    int `json:"minuend"`
	Subtrahend int `json:"subtrahend"`
}

// exampleMethods are the methods that the specification's examples call.
func exampleMethods() []option {
	silent := func(context.Context, rpc.NoParams) (rpc.NoParams, error) { return rpc.NoParams{}, nil }
	return []option{
		method("subtract", func(_ context.Context, p difference) (int, error) { return p.Minuend - p.Subtrahend, nil }),
		method("update", silent),
		method("notify_hello", silent),
		method("notify_sum", silent),
		method("get_data", func(context.Context, rpc.NoParams) ([]any, error) { return []any{"hello", 5}, nil }),
	}
}

// TestSpecificationExamples has the examples of the JSON-RPC 2.0 specification,
// section 7, in its order. Where they pass parameters by position, the answer is
// the refusal of such parameters: no method here takes them.
func TestSpecificationExamples(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{}, exampleMethods()...)
	tests := []struct{ name, request, want string }{
		{
			"positional parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
			`{"jsonrpc": "2.0", "error": {"code": -32602}, "id": 1}`,
		},
		{
			"named parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
			`{"jsonrpc": "2.0", "result": 19, "id": 3}`,
		},
		{
			"named parameters in another order", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
			`{"jsonrpc": "2.0", "result": 19, "id": 4}`,
		},
		{"a notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ``},
		{"a notification of a method that is not there", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
		{
			"a method that is not there", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`,
			`{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"}`,
		},
		{
			"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
			`{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}`,
		},
		{
			"an invalid request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
			`{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}`,
		},
		{
			"a batch that is invalid JSON", `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]`,
			`{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}`,
		},
		{"an empty batch", `[]`, `{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}`},
		{"an invalid batch that is not empty", `[1]`, `[{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}]`},
		{
			"an invalid batch", `[1,2,3]`, `[
			{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}]`,
		},
		{
			"a batch", `[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": "2"},
			{"foo": "boo"},
			{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
			{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]`, `[
			{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"},
			{"jsonrpc": "2.0", "result": 19, "id": "2"},
			{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "5"},
			{"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}]`,
		},
		{
			"a batch of notifications", `[
			{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]`, ``,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(plain(t, test.want), plain(t, b.post(t, test.request))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// plain decodes answers and leaves of their errors only the codes.
func plain(t *testing.T, text string) any {
	t.Helper()
	if text == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("cannot decode %q: %v", text, err)
	}
	all, isList := v.([]any)
	if !isList {
		all = []any{v}
	}
	for _, one := range all {
		if wrong, ok := one.(map[string]any)["error"].(map[string]any); ok {
			delete(wrong, "message")
			delete(wrong, "data")
		}
	}
	return v
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{}, append(exampleMethods(), limited(Limits{Batch: 3}))...)
	tests := []struct{ name, request, want string }{
		{"nothing", ``, `-32700 the request is empty null`},
		{"white space", " \n", `-32700 the request is empty null`},
		{"text after the request", `{"jsonrpc":"2.0","method":"get_data","id":1} x`, `-32700 the request is not JSON: invalid character 'x' after top-level value at byte 46 null`},
		{"invalid UTF-8", "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\",\"id\":1}", `-32700 the request is not UTF-8 at byte 27 null`},
		{"a string", `"get_data"`, `-32600 a request is an object with jsonrpc, method, params and id null`},
		{"a batch inside a batch", `[[]]`, `-32600 a request is an object with jsonrpc, method, params and id null`},
		{"no version", `{"method":"get_data","id":1}`, `-32600 the request has no "jsonrpc": "2.0" 1`},
		{"another version", `{"jsonrpc":"1.0","method":"get_data","id":1}`, `-32600 "jsonrpc" is "1.0", and only "2.0" is understood 1`},
		{"a version that is a number", `{"jsonrpc":2.0,"method":"get_data","id":1}`, `-32600 "jsonrpc" is 2.0, and only "2.0" is understood 1`},
		{"no method", `{"jsonrpc":"2.0","id":1}`, `-32600 the request names no method 1`},
		{"a method that is a list", `{"jsonrpc":"2.0","method":["get_data"],"id":1}`, `-32600 the method is ["get_data"], and not a string 1`},
		{"an unknown member", `{"jsonrpc":"2.0","method":"get_data","parms":{},"id":1}`, `-32600 a request has no member "parms", only jsonrpc, method, params and id 1`},
		{"a member in another case", `{"jsonrpc":"2.0","Method":"get_data","id":1}`, `-32600 a request has no member "Method", only jsonrpc, method, params and id 1`},
		{"a member twice", `{"jsonrpc":"2.0","method":"get_data","method":"update","id":1}`, `-32600 the request has "method" twice 1`},
		{"an id that is an object", `{"jsonrpc":"2.0","method":"get_data","id":{}}`, `-32600 an id is a string, a number or null null`},
		{"an id that is true", `{"jsonrpc":"2.0","method":"get_data","id":true}`, `-32600 an id is a string, a number or null null`},
		{"parameters that are a number", `{"jsonrpc":"2.0","method":"get_data","params":7,"id":1}`, `-32600 the parameters are 7, and not an object 1`},
		{"parameters by position", `{"jsonrpc":"2.0","method":"get_data","params":[],"id":1}`, `-32602 the parameters are a list, and no method takes them by position: send an object, such as {"id": 1} 1`},
		{"an unknown method", `{"jsonrpc":"2.0","method":"get_date","id":1}`, `-32601 there is no method "get_date" 1`},
		{"a very long method", `{"jsonrpc":"2.0","method":"` + strings.Repeat("é", 500) + `","id":1}`, `-32601 there is no method "` + strings.Repeat("é", 32) + `…" 1`},
		{"too long a batch", `[1,2,3,4]`, `-32600 the batch has 4 requests, and may have 3; several runs go into one run.submit_many null`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := b.post(t, test.request)
			var response rpc.Response
			if err := json.Unmarshal([]byte(strings.Trim(text, "[]")), &response); err != nil || response.Error == nil {
				t.Fatalf("no error in %q: %v", text, err)
			}
			got := fmt.Sprintf("%d %s %s", response.Error.Code, response.Error.Message, response.ID)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIDsAreEchoedAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{}, exampleMethods()...)
	for _, id := range []string{`1`, `-0`, `1.50`, `12345678901234567890123`, `1e3`, `""`, `"a\u00e9\"b"`, `"<é>"`, `null`} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			want := `{"jsonrpc":"2.0","id":` + id + `,"result":["hello",5]}`
			if got := b.post(t, `{"jsonrpc":"2.0","method":"get_data","id":`+id+`}`); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			want = `{"jsonrpc":"2.0","id":` + id + `,"error":`
			if got := b.post(t, `{"jsonrpc":"2.0","method":"x","id":`+id+`}`); !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s…", got, want)
			}
		})
	}
}

func TestEscapesInTheEnvelopeAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{}, exampleMethods()...)
	got := b.post(t, "{\"jsonrpc\":\"2.0\", \"\\u006dethod\":\t\"get\\u005fdata\" , \"params\" : null,\"id\"\r\n:1}")
	if want := `{"jsonrpc":"2.0","id":1,"result":["hello",5]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFailure44_MalformedRPC: what is too large, too deep or no text is refused
// in words, and the server goes on.
func TestFailure44_MalformedRPC(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{})
	large := `{"jsonrpc":"2.0","id":1,"method":"run.submit","params":{"name":"` + strings.Repeat("x", 20_000_000) + `"}}`
	tests := []struct {
		name string
		body io.Reader
	}{
		{"a request of 20 MB", strings.NewReader(large)},
		{"a request of 20 MB that does not say so", io.MultiReader(strings.NewReader(large))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response, text := b.do(t, http.MethodPost, rpc.Path, test.body)
			if response.StatusCode != http.StatusRequestEntityTooLarge ||
				!strings.Contains(text, `"code":-32600,"message":"the request is larger than 8388608 bytes`) {
				t.Errorf("HTTP %s: %s", response.Status, text)
			}
		})
	}
	t.Run("a request of 20 MB by the client", func(t *testing.T) {
		t.Parallel()
		err := b.client.Call(t.Context(), "run.submit", json.RawMessage(`{"name":"`+strings.Repeat("x", 20_000_000)+`"}`), nil)
		var refused *rpc.Error
		if !errors.As(err, &refused) || refused.Code != rpc.CodeInvalidRequest {
			t.Errorf("got %v", err)
		}
	})
	nested := []struct {
		name, open, shut string
		depth, code      int
	}{
		{"lists 100 deep", `[`, `]`, 100, rpc.CodeInvalidParams},
		{"lists 9,000 deep", `[`, `]`, 9_000, rpc.CodeInvalidParams},
		{"lists 1,000,000 deep", `[`, `]`, 1_000_000, rpc.CodeParse},
		{"objects 1,000,000 deep", `{"a":`, `}`, 1_000_000, rpc.CodeParse},
		{"brackets that nobody closes", `[`, ``, 1_000_000, rpc.CodeParse},
	}
	for _, test := range nested {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			params := strings.Repeat(test.open, test.depth) + `1` + strings.Repeat(test.shut, test.depth)
			if refusal := b.refusal(t, "run.submit", `{"jobs":`+params+`}`); refusal.Code != test.code || len(refusal.Message) > 300 {
				t.Errorf("got %.400v", refusal)
			}
		})
	}
	t.Run("deep where nobody looks", func(t *testing.T) {
		t.Parallel()
		if refusal := b.refusal(t, "no.method", strings.Repeat(`[`, 9_000)+strings.Repeat(`]`, 9_000)); refusal.Code != rpc.CodeNoMethod {
			t.Errorf("got %v", refusal)
		}
	})
	t.Run("afterwards the server is well", func(t *testing.T) {
		if _, err := b.client.Info(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestABatchStopsGrowing(t *testing.T) {
	t.Parallel()
	large := func(context.Context, rpc.NoParams) (string, error) { return strings.Repeat("x", 600), nil }
	b := setup(t, &fakeRuns{}, method("large", large), limited(Limits{AnswerBytes: 1000}))
	var answers []rpc.Response
	one := `{"jsonrpc":"2.0","id":1,"method":"large"}`
	if err := json.Unmarshal([]byte(b.post(t, `[`+one+`,`+one+`,`+one+`]`)), &answers); err != nil {
		t.Fatal(err)
	}
	if answers[0].Error != nil || answers[1].Error != nil || answers[2].Error == nil || answers[2].Error.Code != rpc.CodeBusy {
		t.Errorf("got %v", answers)
	}
}

func TestAPanicEndsOneCall(t *testing.T) {
	t.Parallel()
	b := setup(t, &fakeRuns{}, append(exampleMethods(),
		method("panic", func(context.Context, rpc.NoParams) (int, error) { panic("the secret of the panic") }),
		method("unencodable", func(context.Context, rpc.NoParams) (any, error) { return make(chan int), nil }))...)
	got := b.post(t, `[{"jsonrpc":"2.0","id":1,"method":"panic"},{"jsonrpc":"2.0","method":"panic"},`+
		`{"jsonrpc":"2.0","id":2,"method":"unencodable"},{"jsonrpc":"2.0","id":3,"method":"get_data"}]`)
	const internal = `"error":{"code":-32603,"message":"an internal error; the daemon's log has the details"}}`
	want := `[{"jsonrpc":"2.0","id":1,` + internal + `,{"jsonrpc":"2.0","id":2,` + internal +
		`,{"jsonrpc":"2.0","id":3,"result":["hello",5]}]`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, part := range []string{"the secret of the panic", "dispatch_test.go", "method=panic", "unsupported type: chan int"} {
		if !strings.Contains(b.log.String(), part) {
			t.Errorf("the log does not have %q: %s", part, b.log)
		}
	}
	stats, err := b.client.Stats(t.Context())
	if err != nil || stats.API.Panics != 2 {
		t.Errorf("%d panics were counted, and there were 2: %v", stats.API.Panics, err)
	}
}

// FuzzDispatch holds for any body: no panic, and the answer is nothing, or an
// answer, or a list of answers.
func FuzzDispatch(f *testing.F) {
	for _, seed := range []string{
		``, `[]`, `{`, `[1,2]`, `{"jsonrpc":"2.0","method":"system.info","id":1}`, "\xff", `[{"jsonrpc":"2.0","method":"system.info"}]`,
		`{"jsonrpc":"2.0","method":"run.list","params":{"limit":5},"id":"é\n"}`, `{"id":{},"id":[]}`, `{"a":{"b":[1,{"c":"]\""}]}}`,
		`{"jsonrpc":"2.0","method":"run.show","params":{"id":-1},"id":null}`, `[[[{"":"\\"}]]]`,
	} {
		f.Add([]byte(seed))
	}
	b := setup(f, &fakeRuns{})
	f.Fuzz(func(t *testing.T, body []byte) {
		out := newPage()
		defer out.release()
		b.dispatch(t.Context(), body, out)
		if out.Len() == 0 {
			return
		}
		text := out.Bytes()
		var answers []rpc.Response
		if text[0] == '[' {
			if err := json.Unmarshal(text, &answers); err != nil || len(answers) == 0 {
				t.Fatalf("%q answers %q: %v", body, text, err)
			}
		} else {
			answers = make([]rpc.Response, 1)
			if err := json.Unmarshal(text, &answers[0]); err != nil {
				t.Fatalf("%q answers %q: %v", body, text, err)
			}
		}
		for _, answer := range answers {
			if (answer.Error == nil) == (answer.Result == nil) || answer.JSONRPC != rpc.Version || answer.ID == nil {
				t.Fatalf("%q answers %q", body, text)
			}
		}
	})
}
