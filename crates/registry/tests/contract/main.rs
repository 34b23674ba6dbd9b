//! What the registry promises, run on SQLite and on a real PostgreSQL.

mod changes;
mod copies;
mod deliveries;
mod handover;
mod ownership;
mod persons;
mod reach;
mod records;
mod repeats;
mod resealing;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use changes::*;
use copies::*;
use deliveries::*;
use handover::*;
use ownership::*;
use persons::*;
use reach::*;
use records::*;
use repeats::*;
use resealing::*;
use tables::*;

macro_rules! contract {
    ($($name:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Place::sqlite().await).await })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(crate::support::Place::postgres().await).await })*
        }
    };
}

contract! {
    a_record_is_made_read_changed_and_removed,
    a_patch_empties_what_is_null_and_a_replacement_empties_what_is_left_out,
    refusals_name_the_field_the_value_and_what_is_allowed,
    what_drover_sets_may_be_repeated_but_not_changed,
    a_list_is_filtered_sorted_and_paged,
    a_change_of_another_version_is_refused,
    unique_values_are_taken_once,
    a_reference_must_exist_and_what_is_referred_to_stays,
    what_is_outside_of_reach_is_not_there,
    a_record_cannot_be_moved_into_a_foreign_fleet,
    drivers_and_customers_reach_what_is_theirs,
    a_change_and_its_outbox_row_are_one_transaction,
    a_change_that_fails_leaves_no_row_in_the_outbox,
    a_trimmed_outbox_goes_on_with_higher_numbers,
    assignments_of_one_driver_or_one_vehicle_do_not_overlap,
    the_drivers_vehicle_follows_the_current_assignment,
    a_delivery_moves_only_as_the_table_allows,
    a_transition_leaves_an_event_that_stays,
    a_delivery_needs_a_driver_from_assigned_on,
    a_customer_has_many_deliveries_and_so_has_a_route,
    a_delivery_stays_with_whom_it_is_once_it_was_picked_up,
    another_driver_of_an_assigned_delivery_leaves_an_event,
    a_stop_of_a_route_shows_what_became_of_its_delivery,
    a_driver_is_told_who_waits_until_the_delivery_is_at_its_end,
    a_customer_says_how_a_delivery_is_handed_over_until_it_is_picked_up,
    a_refusal_names_nothing_that_is_out_of_reach,
    a_driver_moves_his_own_deliveries_on_and_cancels_none,
    personal_fields_cannot_be_read_in_the_tables,
    a_customer_is_found_by_the_whole_address,
    who_was_erased_is_nowhere,
    changes_tell_that_something_private_changed_and_not_what,
    an_erasure_empties_places_notes_and_free_text_about_the_person,
    who_was_erased_and_comes_back_with_a_copy_is_erased_again_at_the_start,
    an_export_holds_everything_of_a_person,
    the_directory_and_deliveries_under_way_follow_this_node_and_others,
    what_was_trimmed_before_another_node_heard_of_it_is_read_from_the_tables,
    since_when_a_delivery_is_out_is_known_here_there_and_after_a_restart,
    a_way_out_that_a_node_missed_is_never_taken_for_an_earlier_one,
    an_older_copy_goes_on_with_numbers_that_nobody_has_heard_of,
    a_damaged_sealed_text_keeps_no_node_from_starting_and_is_named,
    writers_at_once_wait_for_each_other,
    tables_and_definitions_agree,
    two_fleets_have_the_same_plate_and_order_and_one_fleet_has_them_once,
    a_refusal_tells_nothing_of_what_a_foreign_fleet_has,
    an_order_goes_by_its_number_and_its_id_within_reach,
    stops_name_what_is_there_and_within_reach,
    an_id_with_a_past_is_for_who_reaches_all_fleets,
    a_delivery_is_given_to_nobody_who_was_erased_or_removed,
    what_would_be_is_checked_as_what_is_and_leaves_nothing,
    a_move_that_comes_again_moves_nothing_twice,
    an_erased_customer_takes_nothing_from_a_foreign_rider_of_that_id,
    a_device_of_a_rider_belongs_to_one_fleet,
    a_request_that_comes_again_makes_nothing_twice,
    a_word_is_its_callers_and_its_resources_and_stands_for_one_body,
    a_request_that_failed_leaves_its_word_free,
    of_two_that_come_at_once_one_makes_it,
    a_repetition_shows_the_record_as_it_is_and_not_one_that_is_gone,
    words_are_forgotten_after_a_day_and_beyond_ten_thousand_of_a_caller,
    what_is_remembered_of_a_request_holds_nothing_of_a_person,
    every_sealed_text_is_sealed_anew_and_nothing_else_changes,
    what_somebody_changes_meanwhile_is_not_overwritten,
    what_cannot_be_opened_stays_and_what_is_the_erased_ones_goes,
    an_event_changes_by_resealing_only,
    large_tables_are_sealed_anew_in_steps_that_leave_nothing_out,
}
