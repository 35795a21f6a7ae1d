-- ExecutorPositionSet notes how far an executor journal has been applied; it
-- never goes back.
-- name: ExecutorPositionSet :exec
INSERT INTO executor_positions (epoch, number) VALUES (@epoch, @number)
ON CONFLICT (epoch) DO UPDATE SET number = excluded.number WHERE excluded.number > executor_positions.number;

-- ExecutorPositionList reads how far each journal has been applied.
-- name: ExecutorPositionList :many
SELECT * FROM executor_positions ORDER BY epoch;

-- ExecutorPositionDelete forgets a journal that the executor has deleted.
-- name: ExecutorPositionDelete :exec
DELETE FROM executor_positions WHERE epoch = @epoch;
