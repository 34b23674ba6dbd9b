//! Identities as a whole: a database, the real routes, the guard around them. Every test runs on SQLite and on a real
//! PostgreSQL.

mod doors;
mod guard;
mod house;
mod keys;
mod login;
mod own_keys;
#[path = "../../../registry/tests/support/postgres.rs"]
mod postgres;
mod tokens;
mod users;

use doors::*;
use guard::*;
use house::Place;
use keys::*;
use login::*;
use own_keys::*;
use tokens::*;
use users::*;

macro_rules! identities {
    ($($name:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Place::Sqlite).await })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Place::Postgres).await })*
        }
    };
}

identities! {
    the_first_administrator_may_only_change_his_password_at_first,
    a_wrong_password_and_an_unknown_address_are_answered_alike_and_audited,
    after_five_failures_even_the_right_password_has_to_wait,
    who_tries_from_an_address_that_is_held_up_locks_nobodys_account,
    the_second_factor_is_asked_for_after_a_right_password_only_and_each_code_is_good_once,
    a_cookie_works_for_our_own_page_only,
    logging_out_kills_cookie_access_token_and_refresh_token_at_once,
    sessions_are_listed_and_ended_by_their_user_only,
    a_refresh_token_is_good_once_and_its_reuse_ends_the_session,
    an_access_token_ends_by_itself_and_can_be_refreshed,
    a_changed_role_and_a_disabled_user_lose_their_tokens_at_once,
    what_was_opened_by_a_cookie_ends_with_it_and_what_a_token_opened_goes_on,
    what_one_node_changes_another_follows,
    a_new_signing_key_leaves_old_tokens_good,
    a_new_data_key_seals_everything_anew_and_the_old_one_can_be_retired,
    a_data_key_that_seals_something_stays,
    new_signing_and_root_keys_stop_nobody,
    only_system_administrators_reach_the_nodes_own_keys,
    the_last_system_admin_stays,
    nobody_gives_a_role_or_fleets_that_he_does_not_have,
    a_customer_who_moved_to_another_fleet_is_beyond_his_former_manager,
    a_fleet_that_is_gone_comes_back_for_nobody,
    a_removed_customer_or_driver_leaves_no_login_behind,
    a_user_who_cannot_be_read_is_disabled_and_keeps_nobody_out,
    who_names_fleets_means_these_and_who_is_no_system_admin_any_more_is_told_his,
    an_old_version_removes_nobody_and_what_is_known_is_not_sent_again,
    users_are_found_by_a_word_and_a_page_has_25,
    a_reset_password_ends_sessions_and_must_be_changed,
    two_users_cannot_have_one_address_and_an_old_version_changes_nothing,
    changes_go_to_the_outbox_without_secrets_and_personal_data,
    who_is_erased_cannot_come_back_with_a_backup,
    a_key_may_do_what_its_scopes_say_until_it_is_removed,
    a_rotated_key_has_a_new_secret_and_the_old_one_has_its_grace,
    a_key_that_has_expired_opens_nothing,
    nobody_gives_a_key_more_than_he_has,
    a_key_has_never_more_than_its_maker_has_by_now,
    a_key_for_users_makes_and_resets_nobody_who_may_more,
    a_device_token_is_good_for_its_own_asset_by_http_and_mqtt,
    a_managers_devices_are_those_of_his_fleets,
    a_removed_asset_leaves_no_token_and_no_certificate_behind,
    a_certificate_opens_until_it_is_revoked,
    what_a_route_needs_is_asked_for_and_a_route_without_a_row_is_closed,
    a_token_in_the_query_counts_for_streams_only_and_no_handler_sees_it,
    a_device_reports_twice_a_second_and_is_told_when_to_go_on,
    who_shows_no_credentials_is_counted_by_his_address,
    reading_where_a_person_is_is_audited_and_a_vehicle_is_not,
    without_credentials_a_node_for_trying_out_lets_everybody_do_everything,
    every_route_of_identities_has_a_row_and_says_what_it_needs,
    headers_of_who_is_no_trusted_proxy_mean_nothing,
    behind_a_trusted_proxy_each_client_counts_and_nobody_gets_another_address_by_writing_it,
    failed_logins_are_counted_by_the_client_behind_a_trusted_proxy,
    a_cookie_is_for_tls_where_a_trusted_proxy_says_that_the_client_came_by_it,
    the_reports_of_an_open_connection_have_the_bucket_of_their_device_and_nobody_elses,
    who_opens_socket_io_without_credentials_has_the_limit_of_his_address,
    an_address_has_so_many_connections_that_have_not_said_who_they_are,
    whose_place_an_answer_or_a_connection_tells_is_audited,
    while_the_database_is_away_who_is_logged_in_goes_on_and_nobody_else_gets_in,
}
