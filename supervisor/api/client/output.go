package client

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/heroproc/heroproc/supervisor/api/rpc"
)

// Output copies the output that a query asks for to w, as it comes. It returns
// nil when all of it was copied. ErrCut means that some is missing.
func (c *Client) Output(ctx context.Context, query rpc.OutputQuery, w io.Writer) error {
	response, err := c.do(ctx, http.MethodGet, rpc.OutputPath+"?"+query.Values().Encode(), nil)
	if err != nil {
		return fmt.Errorf("cannot read the output: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return fmt.Errorf("cannot read the output: %w", c.lost(ctx, err))
		}
		return httpError(response.Status, text)
	}
	into := &sink{Writer: w}
	_, err = io.Copy(into, response.Body)
	switch {
	case err == nil:
		return nil
	case into.err != nil:
		return fmt.Errorf("cannot write the output: %w", into.err)
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	default:
		return ErrCut
	}
}

// sink remembers that it was the writing which failed, not the reading.
type sink struct {
	io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	s.err = err
	return n, err
}
