"""The permission table of REQUIREMENTS, section U, down to every command and every request; the tests hold the code against it.

A new command or page is one line here. A line is a command's name, or a method and an address as the routes spell it, without
the types of their parts. What no line names fails the tests, as does a line that nothing answers to.
"""

import enum
from collections.abc import Mapping


class Who(enum.Enum):
    """Whom the table lets do something."""

    ANYBODY = "anybody, signed in or not"
    EVERYONE = "whoever is signed in, about what is theirs or everybody's"
    OWNER = "the owner only, whatever the role"
    OWNER_OR_AUDITOR = "the owner, and super administrators, who audit"
    SUPER_ADMINISTRATOR = "super administrators only"
    NO_PERSON = "no person: workers' reports and housekeeping"


TABLE: Mapping[str, tuple[Who, str]] = {
    # area of the requirements: who may, and what belongs to it
    "signing in": (
        Who.ANYBODY,
        """
        GET /sign-in
        POST /sign-in
        POST /language
        GET /static/{name}
        GET /health
        GET /ready
        GET /api/v1/asyncapi.json
        GET /api/v1/openapi.json
        """,
    ),
    "users: own e-mail and password": (
        Who.EVERYONE,
        """
        ChangeOwnEmail
        ChangeOwnPassword
        POST /sign-out
        GET /account
        GET /account/email
        POST /account/email
        GET /account/password
        POST /account/password
        """,
    ),
    "users: create; change e-mail, password, role of anyone incl. self; delete anyone but self": (
        Who.SUPER_ADMINISTRATOR,
        """
        CreateUser
        ChangeUserEmail
        ChangeUserRole
        DeleteUser
        ResetPassword
        GET /users
        GET /users/new
        POST /users/new
        GET /users/{user_id}/email
        POST /users/{user_id}/email
        GET /users/{user_id}/password
        POST /users/{user_id}/password
        GET /users/{user_id}/role
        POST /users/{user_id}/role
        GET /users/{user_id}/delete
        POST /users/{user_id}/delete
        """,
    ),
    "master data: manage all": (
        Who.SUPER_ADMINISTRATOR,
        """
        CreateIndustry
        DefineLevels
        ChooseDefaultIndustry
        DeleteIndustry
        GET /industries
        GET /industries/new
        POST /industries/new
        GET /industries/{industry_id}/levels
        POST /industries/{industry_id}/levels
        POST /industries/{industry_id}/default
        GET /industries/{industry_id}/delete
        POST /industries/{industry_id}/delete
        AddNodes
        AddNodesToSeveralParents
        RemoveNodes
        GET /environments
        GET /environments/new
        POST /environments/new
        GET /environments/{node_id}/new
        POST /environments/{node_id}/new
        GET /environments/{node_id}/remove
        POST /environments/{node_id}/remove
        GET /environments/{below}/children
        GET /environments/{below}/add-to-several
        POST /environments/{below}/add-to-several
        GET /environments/{below}/remove-several
        POST /environments/{below}/remove-several
        CreateTaskType
        RenameTaskType
        DeleteTaskType
        GET /task-types
        GET /task-types/new
        POST /task-types/new
        GET /task-types/{task_type_id}/rename
        POST /task-types/{task_type_id}/rename
        GET /task-types/{task_type_id}/delete
        POST /task-types/{task_type_id}/delete
        CreateComputeResource
        ChangeComputeResource
        DeleteComputeResource
        GET /compute-resources
        GET /compute-resources/new
        POST /compute-resources/new
        GET /compute-resources/{compute_resource_id}/change
        POST /compute-resources/{compute_resource_id}/change
        GET /compute-resources/{compute_resource_id}/delete
        POST /compute-resources/{compute_resource_id}/delete
        """,
    ),
    "models: withdrawal of locked paths": (
        Who.SUPER_ADMINISTRATOR,
        """
        ReleaseDataPath
        GET /locked-paths
        GET /locked-paths/{model_id}
        GET /locked-paths/{model_id}/release
        POST /locked-paths/{model_id}/release
        """,
    ),
    "event feed": (
        Who.SUPER_ADMINISTRATOR,
        """
        RetryUnusableReport
        DismissUnusableReport
        GET /mes-feed
        GET /mes-feed/reports
        POST /mes-feed/reports/{report_id}/retry
        GET /mes-feed/reports/{report_id}/dismiss
        POST /mes-feed/reports/{report_id}/dismiss
        """,
    ),
    "tokens of the HTTP API": (
        Who.SUPER_ADMINISTRATOR,
        """
        CreateApiToken
        RevokeApiToken
        GET /api-tokens
        GET /api-tokens/new
        POST /api-tokens/new
        GET /api-tokens/{token_id}/revoke
        POST /api-tokens/{token_id}/revoke
        """,
    ),
    "master data: may choose values in forms": (
        Who.EVERYONE,
        """
        GET /environment-choices
        """,
    ),
    "datasets: see all, delete any, manage any dataset's paths": (
        Who.EVERYONE,
        """
        CreateDataset
        DeleteDataset
        AddDataPaths
        RemoveDataPaths
        InspectDataPath
        InspectDataPaths
        GET /training-datasets
        GET /training-datasets/live
        GET /training-datasets/new
        POST /training-datasets/new
        GET /training-datasets/{dataset_id}
        GET /training-datasets/{dataset_id}/add
        POST /training-datasets/{dataset_id}/add
        GET /training-datasets/{dataset_id}/remove
        POST /training-datasets/{dataset_id}/remove
        GET /training-datasets/{dataset_id}/paths/{path_id}
        GET /training-datasets/{dataset_id}/paths/{path_id}/delete
        POST /training-datasets/{dataset_id}/paths/{path_id}/delete
        POST /training-datasets/{dataset_id}/paths/{path_id}/inspect
        POST /training-datasets/{dataset_id}/inspect
        GET /training-datasets/{dataset_id}/delete
        POST /training-datasets/{dataset_id}/delete
        GET /question-bank-datasets
        GET /question-bank-datasets/live
        GET /question-bank-datasets/new
        POST /question-bank-datasets/new
        GET /question-bank-datasets/{dataset_id}
        GET /question-bank-datasets/{dataset_id}/add
        POST /question-bank-datasets/{dataset_id}/add
        GET /question-bank-datasets/{dataset_id}/remove
        POST /question-bank-datasets/{dataset_id}/remove
        GET /question-bank-datasets/{dataset_id}/paths/{path_id}
        GET /question-bank-datasets/{dataset_id}/paths/{path_id}/delete
        POST /question-bank-datasets/{dataset_id}/paths/{path_id}/delete
        POST /question-bank-datasets/{dataset_id}/paths/{path_id}/inspect
        POST /question-bank-datasets/{dataset_id}/inspect
        GET /question-bank-datasets/{dataset_id}/delete
        POST /question-bank-datasets/{dataset_id}/delete
        GET /scans/live
        GET /images/thumbnail
        GET /images/original
        GET /images/mask
        """,
    ),
    "model images: manage all, export": (
        Who.EVERYONE,
        """
        ImportModelImage
        AddModelImageVersion
        CheckArchiveName
        DeleteModelImageVersion
        RetryLoading
        DismissLoading
        GET /model-images
        GET /model-images/live
        GET /model-images/import
        POST /model-images/import
        POST /model-images/import/file
        POST /model-images/uploads
        GET /model-images/uploads/{upload_id}
        PUT /model-images/uploads/{upload_id}
        POST /model-images/uploads/{upload_id}/cancel
        GET /model-images/{model_image_id}
        GET /model-images/{model_image_id}/live
        GET /model-images/{model_image_id}/versions/new
        POST /model-images/{model_image_id}/versions/new
        POST /model-images/{model_image_id}/versions/new/file
        GET /model-images/{model_image_id}/versions/{number}/delete
        POST /model-images/{model_image_id}/versions/{number}/delete
        POST /model-images/{model_image_id}/loadings/{loading}/retry
        POST /model-images/{model_image_id}/loadings/{loading}/dismiss
        GET /model-images/{model_image_id}/versions/{number}/archive
        """,
    ),
    "audit: everything that happened": (
        Who.SUPER_ADMINISTRATOR,
        """
        GET /audit
        GET /audit/events.jsonl
        """,
    ),
    "audit: the history of what one may look at": (
        Who.EVERYONE,
        """
        GET /history/{aggregate_id}
        GET /history/{aggregate_id}/state
        GET /history/{aggregate_id}/events.jsonl
        """,
    ),
    "audit: what made a model": (
        Who.OWNER_OR_AUDITOR,
        """
        GET /provenance/{model_id}/{label}
        POST /provenance/{model_id}/{label}/check
        """,
    ),
    "overview: own figures": (
        Who.EVERYONE,
        """
        GET /
        GET /live
        """,
    ),
    "models: the own list": (
        Who.EVERYONE,
        """
        GET /models
        """,
    ),
    "models: own only": (
        Who.OWNER,
        """
        RequestExport
        RetrainModel
        GET /models/{model_id}
        GET /models/{model_id}/versions
        GET /models/{model_id}/versions/live
        GET /models/{model_id}/versions/{label}
        GET /models/{model_id}/versions/{label}/report
        GET /models/{model_id}/versions/{label}/export
        POST /models/{model_id}/versions/{label}/export
        WithdrawModelVersion
        GET /models/{model_id}/versions/{label}/withdraw
        POST /models/{model_id}/versions/{label}/withdraw
        GET /models/{model_id}/versions/{label}/export/live
        GET /models/{model_id}/versions/{label}/export/package
        GET /models/{model_id}/versions/{label}/retrain
        POST /models/{model_id}/versions/{label}/retrain
        GET /models/{model_id}/versions/{label}/retrain/continue
        GET /models/{model_id}/versions/{label}/retrain/step-1
        POST /models/{model_id}/versions/{label}/retrain/step-1
        GET /models/{model_id}/versions/{label}/retrain/step-2
        POST /models/{model_id}/versions/{label}/retrain/step-2
        GET /models/{model_id}/versions/{label}/retrain/images/{line}
        GET /models/{model_id}/versions/{label}/retrain/step-3
        POST /models/{model_id}/versions/{label}/retrain/step-3
        GET /models/{model_id}/versions/{label}/retrain/step-4
        POST /models/{model_id}/versions/{label}/retrain/step-4
        """,
    ),
    "predictions and comparisons: the own list, new ones": (
        Who.EVERYONE,
        """
        QueuePredictionJob
        GET /prediction-jobs
        GET /prediction-jobs/live
        GET /prediction-jobs/new
        POST /prediction-jobs/new/over
        GET /prediction-jobs/new/step-1
        POST /prediction-jobs/new/step-1
        GET /prediction-jobs/new/step-2
        POST /prediction-jobs/new/step-2
        GET /prediction-jobs/new/step-3
        POST /prediction-jobs/new/step-3
        GET /prediction-jobs/new/images/{line}
        GET /comparisons
        GET /comparisons/live
        GET /comparisons/new
        POST /comparisons/new/over
        GET /comparisons/new/step-1
        POST /comparisons/new/step-1
        GET /comparisons/new/step-2
        POST /comparisons/new/step-2
        GET /comparisons/new/step-3
        POST /comparisons/new/step-3
        GET /comparisons/new/images/{line}
        """,
    ),
    "predictions and comparisons: own only": (
        Who.OWNER,
        """
        TerminatePrediction
        RestartPrediction
        DeletePredictionJob
        GET /prediction-jobs/{job_id}
        GET /prediction-jobs/{job_id}/live
        GET /prediction-jobs/{job_id}/report
        GET /prediction-jobs/{job_id}/log
        GET /prediction-jobs/{job_id}/terminate
        POST /prediction-jobs/{job_id}/terminate
        POST /prediction-jobs/{job_id}/restart
        GET /prediction-jobs/{job_id}/delete
        POST /prediction-jobs/{job_id}/delete
        GET /comparisons/{job_id}
        GET /comparisons/{job_id}/live
        GET /comparisons/{job_id}/report
        GET /comparisons/{job_id}/report/{label}
        GET /comparisons/{job_id}/samples/{number}
        GET /comparisons/{job_id}/samples.zip
        GET /comparisons/{job_id}/log
        GET /comparisons/{job_id}/terminate
        POST /comparisons/{job_id}/terminate
        POST /comparisons/{job_id}/restart
        GET /comparisons/{job_id}/delete
        POST /comparisons/{job_id}/delete
        GET /evaluation-reports/{job_id}/{label}/samples.zip
        GET /evaluation-reports/{job_id}/{label}/samples/{number}
        GET /evaluation-reports/{job_id}/{label}/samples/{number}/predicted-mask
        """,
    ),
    "training jobs: everyone's jobs can be looked at; new ones may bind any image and any dataset's paths": (
        Who.EVERYONE,
        """
        QueueTrainingJob
        GET /training-jobs
        GET /training-jobs/live
        GET /training-jobs/{job_id}
        GET /training-jobs/{job_id}/live
        GET /training-jobs/{job_id}/log
        GET /training-jobs/{job_id}/log/{part}
        GET /training-jobs/{job_id}/losses
        GET /training-jobs/{job_id}/manifest
        GET /training-jobs/{job_id}/preview
        GET /training-jobs/{job_id}/report
        GET /training-jobs/{job_id}/report/last
        GET /training-jobs/new
        POST /training-jobs/new
        GET /training-jobs/new/continue
        GET /training-jobs/new/step-1
        POST /training-jobs/new/step-1
        GET /training-jobs/new/step-2
        POST /training-jobs/new/step-2
        GET /training-jobs/new/images/{line}
        GET /training-jobs/new/step-3
        POST /training-jobs/new/step-3
        POST /training-jobs/new/learning-rates
        GET /training-jobs/new/step-4
        POST /training-jobs/new/step-4
        """,
    ),
    "training jobs: only own jobs can be acted on": (
        Who.OWNER,
        """
        TerminateTraining
        RestartTraining
        DeleteTrainingJob
        PublishModelVersion
        GET /training-jobs/{job_id}/terminate
        POST /training-jobs/{job_id}/terminate
        POST /training-jobs/{job_id}/restart
        GET /training-jobs/{job_id}/delete
        POST /training-jobs/{job_id}/delete
        GET /training-jobs/{job_id}/publish
        POST /training-jobs/{job_id}/publish
        GET /training-jobs/{job_id}/weights/{which}/{part}
        """,
    ),
    "HTTP API: as the pages, whoever the token acts for": (
        Who.EVERYONE,
        """
        GET /api/v1/me
        GET /api/v1/account
        PUT /api/v1/account/email
        PUT /api/v1/account/password
        GET /api/v1/overview
        GET /api/v1/overview/system
        GET /api/v1/overview/system/history
        GET /api/v1/history/{aggregate_id}
        GET /api/v1/history/{aggregate_id}/state
        GET /api/v1/task-types
        GET /api/v1/task-types/{task_type_id}
        GET /api/v1/compute-resources
        GET /api/v1/compute-resources/{compute_resource_id}
        GET /api/v1/environment-nodes
        GET /api/v1/datasets
        POST /api/v1/datasets
        GET /api/v1/datasets/{dataset_id}
        DELETE /api/v1/datasets/{dataset_id}
        GET /api/v1/datasets/preview
        GET /api/v1/datasets/{dataset_id}/data-paths
        POST /api/v1/datasets/{dataset_id}/data-paths
        POST /api/v1/datasets/{dataset_id}/data-paths/remove
        GET /api/v1/datasets/{dataset_id}/data-paths/{path_id}
        GET /api/v1/datasets/{dataset_id}/data-paths/{path_id}/images
        POST /api/v1/datasets/{dataset_id}/data-paths/{path_id}/inspect
        DELETE /api/v1/datasets/{dataset_id}/data-paths/{path_id}
        POST /api/v1/datasets/{dataset_id}/inspect
        GET /api/v1/images
        GET /api/v1/model-images
        POST /api/v1/model-images
        GET /api/v1/model-images/{model_image_id}
        POST /api/v1/model-images/{model_image_id}/versions
        DELETE /api/v1/model-images/{model_image_id}/versions/{number}
        POST /api/v1/model-images/{model_image_id}/loadings/{loading}/retry
        DELETE /api/v1/model-images/{model_image_id}/loadings/{loading}
        GET /api/v1/model-images/{model_image_id}/versions/{number}/archive
        POST /api/v1/uploads
        GET /api/v1/uploads/{upload_id}
        PUT /api/v1/uploads/{upload_id}
        DELETE /api/v1/uploads/{upload_id}
        GET /api/v1/training-jobs
        POST /api/v1/training-jobs
        GET /api/v1/training-jobs/{job_id}
        GET /api/v1/training-jobs/{job_id}/stages
        GET /api/v1/training-jobs/{job_id}/curves
        GET /api/v1/training-jobs/{job_id}/log
        GET /api/v1/training-jobs/{job_id}/log/{part}
        GET /api/v1/training-jobs/{job_id}/losses
        GET /api/v1/training-jobs/{job_id}/manifest
        GET /api/v1/training-jobs/{job_id}/reports
        GET /api/v1/training-jobs/{job_id}/reports/{label}/samples
        GET /api/v1/prediction-jobs
        POST /api/v1/prediction-jobs
        GET /api/v1/comparisons
        POST /api/v1/comparisons
        GET /api/v1/models
        """,
    ),
    "HTTP API: own models and jobs only": (
        Who.OWNER,
        """
        GET /api/v1/models/{model_id}
        GET /api/v1/models/{model_id}/versions/{label}
        GET /api/v1/models/{model_id}/versions/{label}/export
        POST /api/v1/models/{model_id}/versions/{label}/export
        GET /api/v1/models/{model_id}/versions/{label}/export/package
        POST /api/v1/models/{model_id}/versions/{label}/retrain
        GET /api/v1/models/{model_id}/versions/{label}/report
        POST /api/v1/models/{model_id}/versions/{label}/withdraw
        GET /api/v1/prediction-jobs/{job_id}
        GET /api/v1/prediction-jobs/{job_id}/log
        GET /api/v1/prediction-jobs/{job_id}/reports
        GET /api/v1/prediction-jobs/{job_id}/reports/{label}/samples
        POST /api/v1/prediction-jobs/{job_id}/terminate
        POST /api/v1/prediction-jobs/{job_id}/restart
        DELETE /api/v1/prediction-jobs/{job_id}
        GET /api/v1/comparisons/{job_id}
        GET /api/v1/comparisons/{job_id}/log
        GET /api/v1/comparisons/{job_id}/report
        GET /api/v1/comparisons/{job_id}/samples
        GET /api/v1/comparisons/{job_id}/reports
        GET /api/v1/comparisons/{job_id}/reports/{label}/samples
        POST /api/v1/comparisons/{job_id}/terminate
        POST /api/v1/comparisons/{job_id}/restart
        DELETE /api/v1/comparisons/{job_id}
        GET /api/v1/training-jobs/{job_id}/weights/{which}/{part}
        POST /api/v1/training-jobs/{job_id}/publish
        POST /api/v1/training-jobs/{job_id}/terminate
        POST /api/v1/training-jobs/{job_id}/restart
        DELETE /api/v1/training-jobs/{job_id}
        """,
    ),
    "HTTP API: what made a model": (
        Who.OWNER_OR_AUDITOR,
        """
        GET /api/v1/models/{model_id}/versions/{label}/provenance
        GET /api/v1/models/{model_id}/versions/{label}/provenance/images
        POST /api/v1/models/{model_id}/versions/{label}/provenance/check
        """,
    ),
    "HTTP API: management, the audit, and the public events of everybody": (
        Who.SUPER_ADMINISTRATOR,
        """
        GET /api/v1/events
        GET /api/v1/users
        POST /api/v1/users
        GET /api/v1/users/{user_id}
        PUT /api/v1/users/{user_id}/email
        PUT /api/v1/users/{user_id}/role
        PUT /api/v1/users/{user_id}/password
        DELETE /api/v1/users/{user_id}
        GET /api/v1/industries
        POST /api/v1/industries
        GET /api/v1/industries/{industry_id}
        PUT /api/v1/industries/{industry_id}/levels
        POST /api/v1/industries/{industry_id}/default
        GET /api/v1/industries/{industry_id}/concerned
        DELETE /api/v1/industries/{industry_id}
        GET /api/v1/industries/{industry_id}/environment-nodes
        POST /api/v1/industries/{industry_id}/environment-nodes
        POST /api/v1/industries/{industry_id}/environment-nodes/add-to-several
        GET /api/v1/industries/{industry_id}/environment-nodes/concerned
        POST /api/v1/industries/{industry_id}/environment-nodes/remove
        GET /api/v1/industries/{industry_id}/environment-nodes/{node_id}
        DELETE /api/v1/industries/{industry_id}/environment-nodes/{node_id}
        POST /api/v1/task-types
        PUT /api/v1/task-types/{task_type_id}/name
        DELETE /api/v1/task-types/{task_type_id}
        POST /api/v1/compute-resources
        PUT /api/v1/compute-resources/{compute_resource_id}
        DELETE /api/v1/compute-resources/{compute_resource_id}
        GET /api/v1/locked-paths
        GET /api/v1/locked-paths/{model_id}
        POST /api/v1/locked-paths/{model_id}/release
        GET /api/v1/mes-feed
        GET /api/v1/mes-feed/reports
        POST /api/v1/mes-feed/reports/{report_id}/retry
        DELETE /api/v1/mes-feed/reports/{report_id}
        GET /api/v1/audit
        """,
    ),
    "what workers report, and housekeeping": (
        Who.NO_PERSON,
        """
        StartLoading
        FinishLoading
        FailLoading
        InterruptLoading
        NoteFileRemoved
        NoteFileRemovalFailed
        StartTraining
        RecordTraining
        InterruptTraining
        StartPrediction
        RecordPrediction
        InterruptPrediction
        StartExport
        RecordExport
        InterruptExport
        ListSuperAdministrators
        RecordScan
        """,
    ),
}


def _lines() -> Mapping[str, Who]:
    by_line: dict[str, Who] = {}
    for who, text in TABLE.values():
        for line in filter(None, map(str.strip, text.splitlines())):
            if line in by_line:
                raise ValueError(f"{line!r} stands twice in the permission table")
            by_line[line] = who
    return by_line


LINES = _lines()
COMMANDS = {line: who for line, who in LINES.items() if "/" not in line}
REQUESTS = {line: who for line, who in LINES.items() if "/" in line}
