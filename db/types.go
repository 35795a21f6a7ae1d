package db

import "github.com/heroproc/heroproc/db/internal/dbsqlc"

// Queries are the generated queries of sql/queries. Inside a read they run on
// its snapshot, inside a write in its transaction.
type Queries = dbsqlc.Queries

// The rows, and the results of queries that answer something else than a row.
type (
	Attempt              = dbsqlc.Attempt
	AttemptGetWithJobRow = dbsqlc.AttemptGetWithJobRow
	Event                = dbsqlc.Event
	ExecutorPosition     = dbsqlc.ExecutorPosition
	Job                  = dbsqlc.Job
	JobActiveRow         = dbsqlc.JobActiveRow
	JobCandidateRow      = dbsqlc.JobCandidateRow
	JobDelayedFromRow    = dbsqlc.JobDelayedFromRow
	JobDependency        = dbsqlc.JobDependency
	JobQueuedAfterRow    = dbsqlc.JobQueuedAfterRow
	Meta                 = dbsqlc.Meta
	Run                  = dbsqlc.Run
	RunDeadlinesFromRow  = dbsqlc.RunDeadlinesFromRow
)

// The parameters of queries that take more than one.
type (
	AttemptGetByNumberParams  = dbsqlc.AttemptGetByNumberParams
	AttemptInsertParams       = dbsqlc.AttemptInsertParams
	AttemptListByJobParams    = dbsqlc.AttemptListByJobParams
	AttemptListByRunParams    = dbsqlc.AttemptListByRunParams
	AttemptSetEndedParams     = dbsqlc.AttemptSetEndedParams
	AttemptSetOrderedParams   = dbsqlc.AttemptSetOrderedParams
	AttemptSetStartedParams   = dbsqlc.AttemptSetStartedParams
	EventInsertParams         = dbsqlc.EventInsertParams
	EventListAfterParams      = dbsqlc.EventListAfterParams
	ExecutorPositionSetParams = dbsqlc.ExecutorPositionSetParams
	JobActiveParams           = dbsqlc.JobActiveParams
	JobDelayedFromParams      = dbsqlc.JobDelayedFromParams
	JobDependencyInsertParams = dbsqlc.JobDependencyInsertParams
	JobFirstInStateParams     = dbsqlc.JobFirstInStateParams
	JobInsertParams           = dbsqlc.JobInsertParams
	JobListBeforeParams       = dbsqlc.JobListBeforeParams
	JobListByRunParams        = dbsqlc.JobListByRunParams
	JobQueuedAfterParams      = dbsqlc.JobQueuedAfterParams
	JobRequestCancelParams    = dbsqlc.JobRequestCancelParams
	JobSetFinalParams         = dbsqlc.JobSetFinalParams
	JobSetQueuedParams        = dbsqlc.JobSetQueuedParams
	JobSetReasonParams        = dbsqlc.JobSetReasonParams
	JobSetRetryParams         = dbsqlc.JobSetRetryParams
	JobSetRunningParams       = dbsqlc.JobSetRunningParams
	JobSetStartingParams      = dbsqlc.JobSetStartingParams
	MetaSetParams             = dbsqlc.MetaSetParams
	RunDeadlinesFromParams    = dbsqlc.RunDeadlinesFromParams
	RunGetByKeyParams         = dbsqlc.RunGetByKeyParams
	RunInsertParams           = dbsqlc.RunInsertParams
	RunListBeforeParams       = dbsqlc.RunListBeforeParams
	RunSetFinalParams         = dbsqlc.RunSetFinalParams
	RunSetStartedParams       = dbsqlc.RunSetStartedParams
)
